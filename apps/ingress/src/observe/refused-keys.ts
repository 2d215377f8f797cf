import type { AuditWriter } from '@millrace/shared/store/audit/audit-writer';
import { plainAddress } from '../auth/addresses.ts';
import { networkOf } from '../auth/networks.ts';
import type { Refusal } from './refusals.ts';

export type RefusedKeys = {
  /** Counts a refusal if a secret was refused; writes nothing. */
  note(refusal: Refusal): void;
  /** Writes what was counted. */
  flush(): Promise<void>;
};

export type RefusedKeysOptions = {
  audit: Pick<AuditWriter, 'record'>;
  /** The name of this ingress. */
  actor: string;
  now?(): number;
};

/** The reasons that mean that a secret, or a password of the admin, opened nothing. */
const reasons: ReadonlySet<string> = new Set([
  'unknown_key',
  'revoked_key',
  'expired_key',
  'old_secret',
  'address',
  'read_token',
  'admin_only',
  'wrong_password',
  'too_many_logins',
  'forged_session',
]);

/** Milliseconds for which refusals of one kind are counted, and then written as one entry. */
export const countForMs = 60_000;

/**
 * Most entries of one such time. An attack from more addresses, or on more keys, is counted in one more entry for each
 * reason, without address and key.
 */
export const maxKinds = 20;

type Kind = { reason: string; keyId: string | undefined; address: string | undefined };
type Count = Kind & { refused: number; firstAt: number; lastAt: number };

/**
 * Counts refused secrets by reason, key and address for a minute each, and writes the counts to the audit log. It costs Redis
 * the same whatever the rate of an attack.
 */
export function createRefusedKeys(options: RefusedKeysOptions): RefusedKeys {
  const { audit, actor, now = Date.now } = options;
  let counts = new Map<string, Count>();
  let timer: NodeJS.Timeout | undefined;

  function count(kind: Kind): void {
    const name = `${kind.reason} ${kind.keyId ?? ''} ${kind.address ?? ''}`;
    const known = counts.get(name);
    const isNamed = kind.keyId !== undefined || kind.address !== undefined;
    if (!known && isNamed && counts.size >= maxKinds) {
      // Reasons are a fixed set, so the entries without key and address are few.
      count({ reason: kind.reason, keyId: undefined, address: undefined });
      return;
    }
    const at = now();
    if (known) {
      known.refused += 1;
      known.lastAt = at;
    } else counts.set(name, { ...kind, refused: 1, firstAt: at, lastAt: at });
    timer ??= setTimeout(() => void flush(), countForMs).unref();
  }

  /** The last flush; the next one waits for it, so that a stop waits for both. */
  let flushing = Promise.resolve();

  function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    flushing = flushing.then(write);
    return flushing;
  }

  async function write(): Promise<void> {
    const written = [...counts.values()];
    counts = new Map();
    for (const { reason, keyId, address, refused, firstAt, lastAt } of written) {
      await audit.record({
        at: firstAt,
        actor,
        address,
        action: 'key.refused',
        target: keyId,
        outcome: reason,
        detail: { refused, until: new Date(lastAt).toISOString() },
      });
    }
  }

  return {
    note({ reason, keyId, address }) {
      if (!reasons.has(reason)) return;
      const plain = plainAddress(address);
      // A socket that is closed has no address any more.
      count({ reason, keyId, address: plain === '' ? undefined : networkOf(plain) });
    },
    flush,
  };
}
