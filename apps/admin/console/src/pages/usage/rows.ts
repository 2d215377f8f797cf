/* What the usage page makes of the ledger's sums and series. Pure. */

/** `GET /admin/usage`, with the columns of its `group_by`. */
export type UsageRow = {
  requests: number;
  failed: number;
  rescued: number;
  input_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  /** USD of the requests whose price is known; null: of none. */
  cost: number | null;
  /** Requests whose price is unknown. */
  unpriced: number;
  /** Requests whose tokens are estimated in part. */
  estimated: number;
} & Partial<Record<Grouping, string | null>>;

/** `GET /admin/series`. */
export type Bucket = {
  at: string;
  /** With `by`. */
  group?: string | null;
  requests: number;
  output_tokens: number;
  cost: number | null;
};

export type Grouping = 'key' | 'user' | 'model' | 'provider' | 'status' | 'hour' | 'day';

/** What a row belongs to, and how the page names it. */
export function nameOf(row: UsageRow, grouping: Grouping): string {
  const value = row[grouping];
  if (value !== null && value !== undefined) return value;
  return grouping === 'provider' ? '(no provider was asked)' : `(no ${grouping})`;
}

/** Dearest first, then by tokens; times newest first. */
export function sorted(rows: readonly UsageRow[], grouping: Grouping): UsageRow[] {
  if (grouping === 'hour' || grouping === 'day') {
    return rows.toSorted((one, other) =>
      (one[grouping] ?? '') < (other[grouping] ?? '') ? 1 : -1,
    );
  }
  return rows.toSorted(
    (one, other) =>
      (other.cost ?? 0) - (one.cost ?? 0) ||
      other.output_tokens - one.output_tokens ||
      other.requests - one.requests,
  );
}

export const measures = ['cost', 'output_tokens', 'requests'] as const;
export type Measure = (typeof measures)[number];

export type Stack = {
  /** Milliseconds since the epoch, rising. */
  times: number[];
  /** One value for each time; the largest group first, `other` last. */
  groups: { name: string; values: number[] }[];
};

const restName = 'other';

/** The series of a chart, one for each group. A bucket that a group does not have, or of unknown cost, counts 0. */
export function stackOf(buckets: readonly Bucket[], measure: Measure): Stack {
  const times = [...new Set(buckets.map(({ at }) => Date.parse(at)))].sort((a, b) => a - b);
  const indexOf = new Map(times.map((time, index) => [time, index]));
  const groups = new Map<string, number[]>();
  for (const bucket of buckets) {
    const name = bucket.group === undefined ? 'all' : (bucket.group ?? '(none)');
    const values = groups.get(name) ?? times.map(() => 0);
    groups.set(name, values);
    const index = indexOf.get(Date.parse(bucket.at)) ?? 0;
    values[index] = (values[index] ?? 0) + (bucket[measure] ?? 0);
  }
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const list = [...groups].map(([name, values]) => ({ name, values }));
  list.sort((one, other) => {
    const isRest = Number(one.name === restName) - Number(other.name === restName);
    return isRest || sum(other.values) - sum(one.values);
  });
  return { times, groups: list };
}
