import type { Order } from '@millrace/shared/domain/order';

export type OperatorDrainOptions = {
  /** Milliseconds in which all requests are served as before, while `/readyz` reports the drain. */
  delayMs: number;
  /** Called when new requests are refused from now on. */
  onRefusing(): void;
};

/**
 * Whether an operator has ordered this ingress to take no new requests. Requests under way go on; unlike a stop, it can be
 * taken back.
 */
export type OperatorDrain = {
  apply(order: Order): void;
  /** `/readyz` says `draining`, and every answer closes its connection. */
  readonly isDraining: boolean;
  /** `delayMs` later: new requests are refused. */
  readonly isRefusing: boolean;
};

export function createOperatorDrain({ delayMs, onRefusing }: OperatorDrainOptions): OperatorDrain {
  let state: 'off' | 'announced' | 'refusing' = 'off';
  let timer: NodeJS.Timeout | undefined;

  function refuse(): void {
    state = 'refusing';
    onRefusing();
  }

  return {
    apply(order) {
      clearTimeout(timer);
      state = order === 'drain' ? 'announced' : 'off';
      if (state === 'off') return;
      if (delayMs === 0) refuse();
      else timer = setTimeout(refuse, delayMs).unref();
    },
    get isDraining() {
      return state !== 'off';
    },
    get isRefusing() {
      return state === 'refusing';
    },
  };
}
