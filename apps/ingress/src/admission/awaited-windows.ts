import { refundOf } from '@millrace/shared/store/quota/port';
import type { Charge, Taken, Windows } from '@millrace/shared/store/quota/port';
import { within } from '../store-timeout.ts';

export type AwaitedWindowsOptions = {
  /** The windows that all processes share. */
  shared: Windows;
  /** Resolves when the connection to Redis is up. */
  whenReady(): Promise<void>;
  onError(error: unknown): void;
};

/**
 * Windows for requests that cannot be queued without Redis anyway. `take` waits as the creation of a request
 * does, and rejects with `StoreSilent` after 5 s without a connection or a reply. A charge that Redis makes
 * after that is given back.
 */
export function awaitedWindows({ shared, whenReady, onError }: AwaitedWindowsOptions): Windows {
  async function giveBack(key: string, charges: readonly Charge[], taken: Taken): Promise<void> {
    if (taken.kind === 'no') return;
    await shared.correct(key, refundOf(charges, taken.slot));
  }

  return {
    async take(key, charges) {
      await within(whenReady());
      let isLate = false;
      const asked = shared.take(key, charges);
      asked
        .then((taken) => (isLate ? giveBack(key, charges, taken) : undefined))
        .catch((error: unknown) => (isLate ? onError(error) : undefined));
      try {
        return await within(asked);
      } catch (error) {
        isLate = true;
        throw error;
      }
    },
    correct: (key, corrections) => shared.correct(key, corrections),
  };
}
