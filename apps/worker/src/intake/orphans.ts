import { encodeEntry } from '@millrace/shared/domain/entry';
import type { StreamLog } from '@millrace/shared/store/stream-log/port';
import { isDamage } from '@millrace/shared/store/redis-failure';

export type OrphanWatchOptions = {
  log: Pick<StreamLog, 'liveReaders' | 'finish'>;
  /** How long a request may be without any reader, in milliseconds. */
  graceMs: number;
  /** The attached requests that this worker runs. */
  attached(): Iterable<string>;
  onError: (error: unknown) => void;
};

/**
 * Cancels attached requests that have no reader left. An ingress reports a client that leaves, but an ingress
 * that died cannot. Its inbox then has no subscriber, and unless the reader returns through another ingress
 * within the grace time, the request is cancelled.
 */
export function watchOrphans({ log, graceMs, attached, onError }: OrphanWatchOptions) {
  const aloneSince = new Map<string, number>();
  const everyMs = Math.max(50, graceMs / 4);
  let lookedAt = 0;

  async function look(): Promise<void> {
    const ids = [...attached()];
    const found = await Promise.allSettled(ids.map((id) => log.liveReaders(id)));
    const failed = found.find((one) => one.status === 'rejected');
    // If one request is damaged, the others are still checked; any other error ends the round.
    if (failed && !isDamage(failed.reason)) throw failed.reason;
    const readers = found.map((one) => (one.status === 'fulfilled' ? one.value : undefined));
    const now = Date.now();
    // During an outage of Redis no ingress could subscribe again, and afterwards all of them do so at once:
    // the grace time starts anew.
    if (now - lookedAt > 2 * everyMs) aloneSince.clear();
    lookedAt = now;
    for (const [i, id] of ids.entries()) {
      if (readers[i] !== 0) aloneSince.delete(id);
      else if (!aloneSince.has(id)) aloneSince.set(id, now);
      else if (now - (aloneSince.get(id) ?? now) >= graceMs) await end(id);
    }
    const current = new Set(ids);
    for (const id of aloneSince.keys()) if (!current.has(id)) aloneSince.delete(id);
  }

  async function end(id: string): Promise<void> {
    aloneSince.delete(id);
    const line = encodeEntry({
      kind: 'cancelled',
      data: { reason: 'no reader is left', at: Date.now() },
    });
    await log.finish(id, line, 'cancelled', { freesKey: true });
  }

  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    look()
      .catch(onError)
      .finally(() => {
        looking = false;
      });
  }, everyMs);
  return { stop: () => clearInterval(timer) };
}
