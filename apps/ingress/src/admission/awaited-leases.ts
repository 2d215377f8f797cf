import type { Leases } from '@millrace/shared/store/quota/port';
import { within } from '../store-timeout.ts';

export type AwaitedLeasesOptions = {
  /** The leases that all processes share. */
  shared: Leases;
  /** Resolves when the connection to Redis is up. */
  whenReady(): Promise<void>;
  onError(error: unknown): void;
};

/**
 * Leases for requests that cannot be queued without Redis anyway. `take` waits as the creation of a request
 * does, and rejects with `StoreSilent` after 5 s without a connection or a reply. A lease that Redis grants
 * after that is released.
 */
export function awaitedLeases({ shared, whenReady, onError }: AwaitedLeasesOptions): Leases {
  return {
    ...shared,
    async take(name, id, limit) {
      await within(whenReady());
      const asked = shared.take(name, id, limit);
      try {
        return await within(asked);
      } catch (error) {
        asked.then(
          () => shared.release(name, id).catch(onError),
          () => {},
        );
        throw error;
      }
    },
  };
}
