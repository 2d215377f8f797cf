import type { KeyConfig } from '@millrace/shared/config';
import { hasMoney as inMoney } from '@millrace/shared/domain/budget';
import type { CreatedKey } from '@millrace/shared/store/api-keys/port';
import { refuse } from '../errors.ts';
import type { Refused } from '../errors.ts';
import { createKeyVerifier, endOf } from './api-keys.ts';
import type { EndOfKey, Key, KeyVerifier, Principal } from './api-keys.ts';
import { refusedFor } from './refused-for.ts';

/** A key of the config, or one that an operator created. */
export type RingKey = Omit<KeyConfig, 'secretsSha256'> & Key;

/**
 * The keys that are valid for this fleet: those of the config, and those that operators created. All of them are in memory, so
 * no check waits for Redis, and while Redis is away the known keys stay valid.
 */
export type KeyRing = {
  verify: KeyVerifier;
  /**
   * Whether a client needs a key. With keys in the config always. Without them, since the first key was created: for good, so
   * that a fleet whose last key is revoked does not open to everybody on its machines.
   */
  isRequired(): boolean;
  /** A key by its id, also one that is revoked or has expired. */
  get(id: string): RingKey | undefined;
  readonly size: number;
  /** Whether a key has a budget in money. */
  readonly hasMoney: boolean;
  /** Why the key or the secret of an admitted principal is not valid any more; undefined if it still is. */
  whyEnded(principal: Principal): Refused | undefined;
  /** An admitted principal as its key is now, for a new request. */
  renew(principal: Principal): { kind: 'renewed'; principal: Principal } | Refused;
  /** The next time after `now` (ms since the epoch) at which a key or a secret ends; Infinity if none does. */
  nextEnd(now: number): number;
  /** Replaces the created keys. `everCreated`: there was a key at some time. */
  replace(created: readonly CreatedKey[], everCreated: boolean): void;
  /** Replaces the keys of the config. */
  configure(keys: readonly KeyConfig[] | undefined): void;
};

export type KeyRingOptions = {
  /** Of the config. */
  keys: readonly KeyConfig[] | undefined;
  /** Web origins that may use a server without keys, in addition to those of this machine. */
  origins: readonly string[];
  now?(): number;
};

export function createKeyRing({
  keys: configured,
  origins,
  now = Date.now,
}: KeyRingOptions): KeyRing {
  /** All of it or nothing: a key that cannot be used throws before anything has changed. */
  function join(sources: Sources) {
    const { own, hasOwn, created, wasCreated } = sources;
    const required = hasOwn || wasCreated;
    // The operator who writes the config decides.
    const keys = byId([...created, ...own]);
    const verify = createKeyVerifier(required ? keys.values() : undefined, origins, now);
    const hasMoney = keys.values().some(({ budget }) => budget !== undefined && inMoney(budget));
    return { ...sources, required, keys, hasMoney, verify };
  }

  let ring = join({ ...sourcesOf(configured), created: [], wasCreated: false });

  function endOfPrincipal({
    keyId = '',
    secretSha256,
  }: Principal): EndOfKey | 'unknown_key' | undefined {
    const key = ring.keys.get(keyId);
    if (!key) return 'unknown_key';
    const secret = key.secrets.find(({ sha256 }) => sha256 === secretSha256);
    return endOf(key, secret ?? { until: -Infinity }, now());
  }

  function whyEnded(principal: Principal): Refused | undefined {
    // Requests without a key that were admitted before the first key was created end by themselves.
    if (principal.keyId === undefined) return undefined;
    const reason = endOfPrincipal(principal);
    return reason && refusedFor(reason, principal.keyId, true);
  }

  return {
    verify: (credentials) => ring.verify(credentials),
    isRequired: () => ring.required,
    get: (id) => ring.keys.get(id),
    get size() {
      return ring.keys.size;
    },
    get hasMoney() {
      return ring.hasMoney;
    },
    whyEnded,
    renew(principal) {
      if (principal.keyId === undefined) {
        if (principal.admin || !ring.required) return { kind: 'renewed', principal };
        return refuse('invalid_api_key', { problem: 'required', countAs: 'no_key' });
      }
      const refused = whyEnded(principal);
      if (refused) return refused;
      const { models } = ring.keys.get(principal.keyId) ?? { models: [] };
      return { kind: 'renewed', principal: { ...principal, models } };
    },
    nextEnd(after) {
      let next = Infinity;
      for (const { expiresAt, secrets } of ring.keys.values()) {
        for (const end of [expiresAt, ...secrets.map(({ until }) => until)]) {
          if (end !== undefined && end > after && end < next) next = end;
        }
      }
      return next;
    },
    replace(created, everCreated) {
      // Also if Redis has lost the keys: an ingress that has asked for keys goes on to do so.
      ring = join({ ...ring, created, wasCreated: ring.wasCreated || everCreated });
    },
    configure(next) {
      ring = join({ ...ring, ...sourcesOf(next) });
    },
  };
}

type Sources = {
  /** Of the config. */
  own: readonly RingKey[];
  hasOwn: boolean;
  created: readonly CreatedKey[];
  wasCreated: boolean;
};

const sourcesOf = (keys: readonly KeyConfig[] | undefined) => ({
  own: (keys ?? []).map(ofConfig),
  hasOwn: keys !== undefined,
});

const ofConfig = ({ secretsSha256, ...key }: KeyConfig): RingKey => ({
  ...key,
  secrets: secretsSha256.map((sha256) => ({ sha256 })),
});

/** Of two keys with one id the later one counts. */
const byId = (keys: readonly RingKey[]): Map<string, RingKey> =>
  new Map(keys.map((key) => [key.id, key]));
