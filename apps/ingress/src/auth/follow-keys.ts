import type { ApiKeyStore } from '@millrace/shared/store/api-keys/port';
import { StoreSilent } from '@millrace/shared/store/outage';
import { within } from '../store-timeout.ts';
import type { KeyRing } from './key-ring.ts';
import type { KeyUsers } from './key-users.ts';

export type FollowKeysOptions = {
  store: Pick<ApiKeyStore, 'read' | 'version' | 'subscribe'>;
  ring: Pick<KeyRing, 'replace'>;
  users: Pick<KeyUsers, 'check' | 'tick'>;
  /** Whether Redis is reachable. */
  isReady(): boolean;
  onError(error: unknown): void;
  rereadMs?: number;
};

/** Milliseconds between two looks at the version of the keys, in case a message about a change was lost. */
const defaultRereadMs = 5000;
/** Milliseconds between two looks at the clock: how much later than its key a stream may end. */
const tickMs = 250;
/** Milliseconds before a read that failed is repeated. */
const retryMs = 250;
/** Milliseconds between two reads of all keys: many changes in a row are read together. */
const gapMs = 100;

/**
 * Keeps the created keys of the ring as Redis has them, until `stop`. Rejects if the first read fails: an ingress that does
 * not know the keys must not serve.
 */
export async function followKeys(options: FollowKeysOptions): Promise<{ stop(): void }> {
  const { store, ring, users, isReady, onError, rereadMs = defaultRereadMs } = options;
  let known = -1;
  let isReading = false;
  let isStale = false;
  let isStopped = false;

  async function readOnce(): Promise<void> {
    const { version, keys } = await within(store.read());
    known = version;
    // Keys without a version come from a backup that an operator restored.
    ring.replace(keys, version > 0 || keys.length > 0);
    users.check();
  }

  async function tryToRead(): Promise<boolean> {
    // The connection would queue the command, and one more with each retry.
    if (!isReady()) return false;
    isStale = false;
    try {
      await readOnce();
      return true;
    } catch (error) {
      if (!isStopped) note(error);
      isStale = true;
      return false;
    }
  }

  /** Reads at least once more after a change that came during a read. */
  async function readUntilFresh(): Promise<void> {
    isReading = true;
    while (isStale && !isStopped) {
      const pauseMs = (await tryToRead()) ? gapMs : retryMs;
      await new Promise((resolve) => setTimeout(resolve, pauseMs).unref());
    }
    isReading = false;
  }

  function refresh(): void {
    isStale = true;
    if (!isReading) void readUntilFresh();
  }

  async function look(): Promise<void> {
    // After the outage the subscription reports a possible gap.
    if (!isReady()) return;
    try {
      if ((await within(store.version())) !== known) refresh();
    } catch (error) {
      note(error);
    }
  }

  function note(error: unknown): void {
    if (!(error instanceof StoreSilent)) onError(error);
  }

  await readOnce();
  const subscription = store.subscribe(refresh);
  const timers = [setInterval(() => void look(), rereadMs), setInterval(users.tick, tickMs)];
  for (const timer of timers) timer.unref();
  return {
    stop() {
      isStopped = true;
      subscription.close();
      for (const timer of timers) clearInterval(timer);
    },
  };
}
