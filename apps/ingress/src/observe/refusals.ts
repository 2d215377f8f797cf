import type { Logger } from '@millrace/shared/runtime/logger';
import { plainAddress } from '../auth/addresses.ts';
import type { Metrics } from './metrics.ts';

/** Somebody who was not let in, or not now. */
export type Refusal = {
  /** One of a fixed set of words. */
  reason: string;
  /** The id of the key, never the key. */
  keyId?: string | undefined;
  address?: string | undefined;
};

/** Milliseconds in which one kind of refusal is logged once: whoever is refused often asks often. */
const logEveryMs = 10_000;

/**
 * Counts every refusal, and logs the first one of a kind with how many there were since the last
 * time. Kinds are reasons and keys of the config: nothing that a client makes up.
 */
export function createRefusals(
  metrics: Pick<Metrics, 'refused'>,
  log: Pick<Logger, 'warn'>,
  now: () => number = Date.now,
): (refusal: Refusal) => void {
  const kinds = new Map<string, { at: number; unsaid: number }>();
  return ({ reason, keyId, address }) => {
    metrics.refused(reason, keyId);
    const kind = `${reason} ${keyId ?? ''}`;
    const last = kinds.get(kind) ?? { at: -Infinity, unsaid: 0 };
    if (now() - last.at < logEveryMs) {
      last.unsaid += 1;
      return;
    }
    log.warn(
      { reason, key: keyId, address: plainAddress(address), before: last.unsaid },
      'a request was refused',
    );
    kinds.set(kind, { at: now(), unsaid: 0 });
  };
}
