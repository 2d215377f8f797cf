import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';

/** Milliseconds between two lookups of a name while connections to it are open. */
export const lookAgainMs = 30_000;

/**
 * Looks up a name at intervals and reports its addresses. A failed lookup (the server is unreachable, the
 * name is gone) is not reported: working connections stay.
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
