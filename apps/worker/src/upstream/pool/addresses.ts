import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';

/** Milliseconds between two looks at a name while connections to it are open. */
export const lookAgainMs = 30_000;

/**
 * Looks a name up again and again, and tells the addresses that it has now. An answer that is none
 * (the server is away, the name is gone) tells nothing: what works goes on.
 */
export function watchAddresses(
  { host, lookup, everyMs }: { host: string; lookup: LookupFunction; everyMs: number },
  onAddresses: (addresses: ReadonlySet<string>) => void,
): { start(): void; stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  const look = () =>
    lookup(host, { all: true }, (error, found) => {
      if (error || timer === undefined) return;
      const all = typeof found === 'string' ? [found] : found.map(({ address }) => address);
      if (all.length > 0) onAddresses(new Set(all));
    });
  return {
    /** Idempotent, as `stop`. */
    start() {
      if (isIP(host) === 0) timer ??= setInterval(look, everyMs).unref();
    },
    stop() {
      clearInterval(timer);
      timer = undefined;
    },
  };
}
