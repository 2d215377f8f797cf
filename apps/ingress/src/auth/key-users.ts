import type { Refused } from '../errors.ts';
import type { Principal } from './api-keys.ts';
import type { KeyRing } from './key-ring.ts';

/**
 * The open answers, readers and WebSockets of this ingress, by the principal that opened them: they end when its key is revoked
 * or expires, or when its secret ends after a rotation.
 */
export type KeyUsers = {
  /** `end` ends what was opened, with this error; it is called once at most, and never during `add`. */
  add(principal: Principal, end: (refused: Refused) => void): { remove(): void };
  /** Ends everything whose key is not valid any more: after a change of the keys. */
  check(): void;
  /** Ends everything whose key has expired. A timer calls it. */
  tick(): void;
  readonly size: number;
};

type User = { principal: Principal; end: (refused: Refused) => void };

export function createKeyUsers(
  ring: Pick<KeyRing, 'whyEnded' | 'nextEnd'>,
  onError: (error: unknown) => void,
  now: () => number = Date.now,
): KeyUsers {
  const users = new Set<User>();
  let nextEnd = ring.nextEnd(now());

  function endIfOver(user: User): void {
    if (!users.has(user)) return;
    const refused = ring.whyEnded(user.principal);
    if (!refused) return;
    users.delete(user);
    try {
      // No client has shown a secret now, so the audit log must not count one as refused.
      user.end({ ...refused, params: { ...refused.params, countAs: 'key_ended' } });
    } catch (error) {
      // A failure to end one must not affect the others.
      onError(error);
    }
  }

  function check(): void {
    nextEnd = ring.nextEnd(now());
    for (const user of users) endIfOver(user);
  }

  return {
    add(principal, end) {
      if (principal.keyId === undefined) return { remove() {} };
      const user = { principal, end };
      users.add(user);
      // The key may have ended since the request was authenticated; its body can take long to arrive.
      if (ring.whyEnded(principal)) process.nextTick(() => endIfOver(user));
      return { remove: () => void users.delete(user) };
    },
    check,
    tick() {
      if (now() >= nextEnd) check();
    },
    get size() {
      return users.size;
    },
  };
}
