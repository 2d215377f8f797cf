import { priorities } from '@millrace/shared/domain/request';
import type { Priority } from '@millrace/shared/domain/request';

export type PriorityAndWeight = { priority: Priority; weight: number };

export type PriorityVerdict =
  | { kind: 'allowed'; scheduling: PriorityAndWeight }
  | { kind: 'too_high'; highest: Priority };

/** The fields of a key that are used here. */
export type PriorityKey = { priority: Priority; weight: number };

export type PriorityPolicy = {
  /**
   * A request may ask for a lower priority than that of its key, not for a higher one. Without keys it
   * may ask for any.
   */
  resolve(keyId: string | undefined, asked: Priority | undefined): PriorityVerdict;
  weightOf(keyId: string): number;
  /** Several keys share the queue. */
  readonly shared: boolean;
};

const keyless: PriorityAndWeight = { priority: 'normal', weight: 1 };

/** `keys`: the keys by their ids, as they are at each call. */
export function createPriorityPolicy(
  keys: Pick<ReadonlyMap<string, PriorityKey>, 'get' | 'size'>,
): PriorityPolicy {
  return {
    resolve(keyId, asked) {
      const own = keyId === undefined ? undefined : keys.get(keyId);
      const { priority, weight } = own ?? keyless;
      if (asked === undefined) return { kind: 'allowed', scheduling: { priority, weight } };
      if (own && priorities.indexOf(asked) < priorities.indexOf(priority)) {
        return { kind: 'too_high', highest: priority };
      }
      return { kind: 'allowed', scheduling: { priority: asked, weight } };
    },
    weightOf: (keyId) => keys.get(keyId)?.weight ?? keyless.weight,
    get shared() {
      return keys.size > 1;
    },
  };
}
