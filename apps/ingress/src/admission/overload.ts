/* How hard this process itself is pressed, and whether it takes new work in spite of it. */

export const strains = ['loop_delay', 'heap', 'resident_memory'] as const;
export type StrainKind = (typeof strains)[number];

/** Of each kind: milliseconds that the event loop is late, bytes of the heap, bytes of all memory. */
export type Pressure = Readonly<Record<StrainKind, number>>;

/** `streak`: looks in a row that speak for the other state. */
type Latch = { readonly isOver: boolean; readonly streak: number };
export type Strain = Readonly<Record<StrainKind, Latch>>;

/**
 * Looks in a row until a state turns. One collection of garbage and one big body make one or two of
 * them late, whatever they take.
 */
export const looksToTurn = 4;
/** Share of its limit below which it has eased: what was let go at the limit would be back at once. */
const easedAt: Pressure = { loop_delay: 0.8, heap: 0.95, resident_memory: 0.95 };

const calm: Latch = { isOver: false, streak: 0 };
export const noStrain: Strain = { loop_delay: calm, heap: calm, resident_memory: calm };

/** What one more look makes of it. */
export function feel(before: Strain, look: Pressure, limits: Pressure): Strain {
  const turned = (kind: StrainKind): Latch => {
    const { isOver, streak } = before[kind];
    const speaksForTurn = isOver
      ? look[kind] < limits[kind] * easedAt[kind]
      : look[kind] > limits[kind];
    if (!speaksForTurn) return { isOver, streak: 0 };
    return streak + 1 < looksToTurn ? { isOver, streak: streak + 1 } : { ...calm, isOver: !isOver };
  };
  return {
    loop_delay: turned('loop_delay'),
    heap: turned('heap'),
    resident_memory: turned('resident_memory'),
  };
}

/**
 * Memory that is over its limit, or would be with the next look: it may be garbage. V8 looks for that
 * when new things need room, and while new work is refused nothing does.
 */
export const mayBeGarbage = ({ heap, resident_memory: resident }: Strain): boolean =>
  [heap, resident].some(({ isOver, streak }) => isOver || streak === looksToTurn - 1);

/** Nothing is over its limit, nor was at the last look. */
export const isCalm = (strain: Strain): boolean =>
  strains.every((kind) => !strain[kind].isOver && strain[kind].streak === 0);

export type OwnVerdict =
  | { kind: 'admitted' }
  | { kind: 'shed'; reason: StrainKind; retryAfterMs: number };

/** Milliseconds to come back in: a loop is free again when what it had is done, memory when answers end. */
const retryAfterMs: Pressure = { loop_delay: 2000, heap: 5000, resident_memory: 5000 };

/** Whether this process takes new work. What it has goes on: that is how it eases. */
export function judgeStrain(strain: Strain): OwnVerdict {
  const reason = strains.find((kind) => strain[kind].isOver);
  if (reason === undefined) return { kind: 'admitted' };
  return { kind: 'shed', reason, retryAfterMs: retryAfterMs[reason] };
}
