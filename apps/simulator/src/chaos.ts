import type { Exchange } from './exchange.ts';
import type { LoggedRequest } from './request-log.ts';

/* What an operator does to the answers that a simulated provider is sending: `POST /__chaos` (docs/operating.md). */

/** `cut`: the connection is closed. `stall`: nothing more is sent on it, and it stays open. */
export type Disturbance = 'cut' | 'stall';

/** The header with the id of Millrace's request. Workers send it where the config has `chaos: true`. */
export const requestHeader = 'x-millrace-request';

/** The answers that are being sent. Its size is bounded by the number of connections. */
export class OpenAnswers {
  readonly #open = new Set<Exchange>();

  add(exchange: Exchange): void {
    this.#open.add(exchange);
    exchange.response.once('close', () => this.#open.delete(exchange));
  }

  /** Disturbs all of them, or those of one request; returns which. */
  disturb(how: Disturbance, request: string | undefined): LoggedRequest[] {
    const all = [...this.#open].filter(({ isOpen }) => isOpen);
    const hit = request === undefined ? all : all.filter((one) => idOf(one.entry) === request);
    for (const exchange of hit) {
      if (how === 'cut') exchange.breakOff();
      else exchange.stall();
    }
    return hit.map(({ entry }) => entry);
  }
}

export function idOf({ headers }: LoggedRequest): string | null {
  const id = headers[requestHeader];
  return typeof id === 'string' ? id : null;
}

/** The order in the body of a request; undefined if it is none. */
export function readOrder(body: unknown): { how: Disturbance; request?: string } | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const { action, request } = body as { action?: unknown; request?: unknown };
  if (action !== 'cut' && action !== 'stall') return undefined;
  if (request === undefined) return { how: action };
  return typeof request === 'string' ? { how: action, request } : undefined;
}
