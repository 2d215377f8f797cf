import type { KeySettings } from '../../config/types.ts';

/**
 * The API keys that operators created over the admin API. The control plane writes them; every ingress holds all of them in
 * memory, so that no request waits for this store.
 *
 * Guarantees:
 * - a write succeeds only if the key is as the writer has seen it;
 * - every change gets a version that no earlier state of the store had, also after a failover that lost writes;
 * - a listener hears of every change, or of a gap in which it may have missed some;
 * - a record that cannot be read opens nothing, and does not keep others from being read.
 *
 * The keys have no end of life in Redis: they end with their removal.
 */
export type ApiKeyStore = {
  read(): Promise<KeySet>;
  /** Undefined also for a record that cannot be read. */
  find(id: string): Promise<CreatedKey | undefined>;
  /** The version of `read`, without the keys. */
  version(): Promise<number>;
  /** `seen`: the key as it was read; undefined: there was none with this id. */
  write(key: CreatedKey, seen: CreatedKey | undefined): Promise<WriteOutcome>;
  /** Removes a key for good. */
  remove(seen: CreatedKey): Promise<WriteOutcome>;
  /** Calls `onChange` after every change, and whenever changes may have been missed. */
  subscribe(onChange: () => void): { close(): void };
};

export type CreatedKey = {
  readonly id: string;
  /** Oldest first; the last one is the current one, and has no `until`. */
  readonly secrets: readonly KeySecret[];
  /** All times are milliseconds since the epoch. */
  readonly createdAt: number;
  readonly expiresAt?: number;
  readonly revokedAt?: number;
} & KeySettings;

export type KeySecret = {
  /** Hex, lower case. The secret itself is not kept. */
  readonly sha256: string;
  readonly createdAt: number;
  /** Valid before this time. Absent: as long as the key. */
  readonly until?: number;
};

export type KeySet = {
  /** 0: no key was ever created. */
  version: number;
  keys: readonly CreatedKey[];
};

export type WriteOutcome =
  | { kind: 'written' }
  /** The key is not as it was seen: another operator was first. */
  | { kind: 'changed' }
  /** There are `maxKeys` keys already. */
  | { kind: 'full' };

/** Most keys, revoked ones included: every ingress holds all of them. */
export const maxKeys = 5000;
