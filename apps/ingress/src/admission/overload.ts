/* Whether this process is overloaded: its event loop is late, or its memory is nearly full. */

export const overloadCauses = ['loop_delay', 'heap', 'resident_memory'] as const;
export type OverloadCause = (typeof overloadCauses)[number];

/** Delay of the event loop in milliseconds, bytes of the heap, bytes of all memory. */
export type ResourceUsage = Readonly<Record<OverloadCause, number>>;

/** `streak`: samples in a row that contradict `isOver`. */
type Latch = { readonly isOver: boolean; readonly streak: number };
export type OverloadState = Readonly<Record<OverloadCause, Latch>>;

/** Consecutive samples that change a state. A garbage collection or a large body distorts one or two of them. */
export const samplesToFlip = 4;
/** Share of its limit below which a cause is over. The gap keeps the state from flapping. */
const recoveredAt: ResourceUsage = { loop_delay: 0.8, heap: 0.95, resident_memory: 0.95 };

const normal: Latch = { isOver: false, streak: 0 };
export const noOverload: OverloadState = {
  loop_delay: normal,
  heap: normal,
  resident_memory: normal,
};

/** The state after one more sample. */
export function updateOverload(
  before: OverloadState,
  usage: ResourceUsage,
  limits: ResourceUsage,
): OverloadState {
  const next = (kind: OverloadCause): Latch => {
    const { isOver, streak } = before[kind];
    const isOpposite = isOver
      ? usage[kind] < limits[kind] * recoveredAt[kind]
      : usage[kind] > limits[kind];
    if (!isOpposite) return { isOver, streak: 0 };
    return streak + 1 < samplesToFlip
      ? { isOver, streak: streak + 1 }
      : { ...normal, isOver: !isOver };
  };
  return {
    loop_delay: next('loop_delay'),
    heap: next('heap'),
    resident_memory: next('resident_memory'),
  };
}

/**
 * Memory is over its limit, or will be with the next sample, and a part of it may be garbage. V8 collects
 * when it allocates, and a process that rejects all requests hardly allocates.
 */
export const mayBeGarbage = ({ heap, resident_memory: resident }: OverloadState): boolean =>
  [heap, resident].some(({ isOver, streak }) => isOver || streak === samplesToFlip - 1);

/** Whether no cause is over its limit now or was at the last sample. */
export const isWithinLimits = (state: OverloadState): boolean =>
  overloadCauses.every((kind) => !state[kind].isOver && state[kind].streak === 0);

export type OverloadVerdict =
  | { kind: 'admitted' }
  | { kind: 'shed'; reason: OverloadCause; retryAfterMs: number };

/** Milliseconds until a retry makes sense: a loop recovers when its tasks are done, memory when answers end. */
const retryAfterMs: ResourceUsage = { loop_delay: 2000, heap: 5000, resident_memory: 5000 };

/**
 * Rejects new requests while a cause is over its limit. Requests under way continue, because their end
 * reduces the load.
 */
export function judgeOverload(state: OverloadState): OverloadVerdict {
  const reason = overloadCauses.find((kind) => state[kind].isOver);
  if (reason === undefined) return { kind: 'admitted' };
  return { kind: 'shed', reason, retryAfterMs: retryAfterMs[reason] };
}
