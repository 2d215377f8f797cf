import { priorities } from '@millrace/shared/domain/request';
import type { Priority } from '@millrace/shared/domain/request';

export type Rank = { priority: Priority; weight: number };

export type Ranked = { kind: 'ranked'; rank: Rank } | { kind: 'too_high'; highest: Priority };

/** What keys may have: the config's own fields. */
export type RankedKey = { id: string; priority: Priority; weight: number };

export type Ranks = {
  /** Other than its own only where that is not before it. Without keys anything may be asked for. */
  rank(keyId: string | undefined, asked: Priority | undefined): Ranked;
  weightOf(keyId: string): number;
  /** There are several keys, which share the queue. */
  readonly shared: boolean;
};

const keyless: Rank = { priority: 'normal', weight: 1 };

export function createRanks(keys: readonly RankedKey[] = []): Ranks {
  const known = new Map(keys.map((key) => [key.id, key]));
  return {
    rank(keyId, asked) {
      const own = keyId === undefined ? undefined : known.get(keyId);
      const { priority, weight } = own ?? keyless;
      if (asked === undefined) return { kind: 'ranked', rank: { priority, weight } };
      if (own && priorities.indexOf(asked) < priorities.indexOf(priority)) {
        return { kind: 'too_high', highest: priority };
      }
      return { kind: 'ranked', rank: { priority: asked, weight } };
    },
    weightOf: (keyId) => known.get(keyId)?.weight ?? keyless.weight,
    shared: keys.length > 1,
  };
}
