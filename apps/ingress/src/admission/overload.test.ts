import { describe, expect, it } from 'vitest';
import { feel, judgeStrain, looksToTurn, mayBeGarbage, noStrain } from './overload.ts';
import type { Pressure, Strain } from './overload.ts';

const limits: Pressure = { loop_delay: 250, heap: 1000, resident_memory: 2000 };
const idle: Pressure = { loop_delay: 1, heap: 100, resident_memory: 200 };

const after = (looks: Partial<Pressure>[], from: Strain = noStrain): Strain =>
  looks.reduce<Strain>((strain, look) => feel(strain, { ...idle, ...look }, limits), from);
const times = (count: number, look: Partial<Pressure>) =>
  Array<Partial<Pressure>>(count).fill(look);
const over = (strain: Strain) => {
  const verdict = judgeStrain(strain);
  return verdict.kind === 'shed' ? verdict.reason : undefined;
};

describe.each([
  ['loop_delay', 251, 201, 199],
  ['heap', 1001, 951, 949],
  ['resident_memory', 2001, 1901, 1899],
] as const)('%s', (kind, above, near, eased) => {
  it('is over its limit when it was for some looks in a row', () => {
    expect(over(after(times(looksToTurn - 1, { [kind]: above })))).toBeUndefined();
    expect(over(after(times(looksToTurn, { [kind]: above })))).toBe(kind);
    expect(over(after(times(100, { [kind]: limits[kind] })))).toBeUndefined();
  });

  it('is not for a single bad look, however bad, nor for several with a good one between', () => {
    const bad = times(looksToTurn - 1, { [kind]: above * 1000 });
    expect(over(after([...bad, {}, ...bad, {}, ...bad]))).toBeUndefined();
  });

  it('is over until it has been well below for as long', () => {
    const strained = after(times(looksToTurn, { [kind]: above }));
    expect(over(after(times(100, { [kind]: near }), strained))).toBe(kind);
    expect(over(after(times(looksToTurn - 1, { [kind]: eased }), strained))).toBe(kind);
    expect(over(after(times(looksToTurn, { [kind]: eased }), strained))).toBeUndefined();
    const bumpy = [...times(looksToTurn - 1, {}), { [kind]: near }, ...times(looksToTurn - 1, {})];
    expect(over(after(bumpy, strained))).toBe(kind);
  });
});

it('says when to come back, and names the loop first', () => {
  expect(judgeStrain(noStrain)).toEqual({ kind: 'admitted' });
  const all = after(times(looksToTurn, { loop_delay: 900, heap: 1500, resident_memory: 3000 }));
  expect(judgeStrain(all)).toEqual({ kind: 'shed', reason: 'loop_delay', retryAfterMs: 2000 });
  const heap = after(times(looksToTurn, {}), all);
  expect(judgeStrain(heap)).toEqual({ kind: 'admitted' });
});

it('memory is looked through for garbage before it is held against anybody, and while it is', () => {
  const heap = { heap: 1500 };
  expect(mayBeGarbage(after(times(looksToTurn - 2, heap)))).toBe(false);
  expect(mayBeGarbage(after(times(looksToTurn - 1, heap)))).toBe(true);
  expect(mayBeGarbage(after(times(looksToTurn, heap)))).toBe(true);
  expect(mayBeGarbage(after(times(looksToTurn, { loop_delay: 900 })))).toBe(false);
});
