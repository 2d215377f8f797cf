import { describe, expect, it } from 'vitest';
import {
  updateOverload,
  judgeOverload,
  samplesToFlip,
  mayBeGarbage,
  noOverload,
} from './overload.ts';
import type { ResourceUsage, OverloadState } from './overload.ts';

const limits: ResourceUsage = { loop_delay: 250, heap: 1000, resident_memory: 2000 };
const idle: ResourceUsage = { loop_delay: 1, heap: 100, resident_memory: 200 };

const after = (
  samples: Partial<ResourceUsage>[],
  from: OverloadState = noOverload,
): OverloadState =>
  samples.reduce<OverloadState>(
    (state, sample) => updateOverload(state, { ...idle, ...sample }, limits),
    from,
  );
const times = (count: number, sample: Partial<ResourceUsage>) =>
  Array<Partial<ResourceUsage>>(count).fill(sample);
const over = (state: OverloadState) => {
  const verdict = judgeOverload(state);
  return verdict.kind === 'shed' ? verdict.reason : undefined;
};

describe.each([
  ['loop_delay', 251, 201, 199],
  ['heap', 1001, 951, 949],
  ['resident_memory', 2001, 1901, 1899],
] as const)('%s', (kind, above, near, recovered) => {
  it('is over its limit when it was for some samples in a row', () => {
    expect(over(after(times(samplesToFlip - 1, { [kind]: above })))).toBeUndefined();
    expect(over(after(times(samplesToFlip, { [kind]: above })))).toBe(kind);
    expect(over(after(times(100, { [kind]: limits[kind] })))).toBeUndefined();
  });

  it('is not for a single bad sample, however bad, nor for several with a good one between', () => {
    const bad = times(samplesToFlip - 1, { [kind]: above * 1000 });
    expect(over(after([...bad, {}, ...bad, {}, ...bad]))).toBeUndefined();
  });

  it('is over until it has been well below for as long', () => {
    const overloaded = after(times(samplesToFlip, { [kind]: above }));
    expect(over(after(times(100, { [kind]: near }), overloaded))).toBe(kind);
    expect(over(after(times(samplesToFlip - 1, { [kind]: recovered }), overloaded))).toBe(kind);
    expect(over(after(times(samplesToFlip, { [kind]: recovered }), overloaded))).toBeUndefined();
    const bumpy = [
      ...times(samplesToFlip - 1, {}),
      { [kind]: near },
      ...times(samplesToFlip - 1, {}),
    ];
    expect(over(after(bumpy, overloaded))).toBe(kind);
  });
});

it('says when to come back, and names the loop first', () => {
  expect(judgeOverload(noOverload)).toEqual({ kind: 'admitted' });
  const all = after(times(samplesToFlip, { loop_delay: 900, heap: 1500, resident_memory: 3000 }));
  expect(judgeOverload(all)).toEqual({ kind: 'shed', reason: 'loop_delay', retryAfterMs: 2000 });
  const heap = after(times(samplesToFlip, {}), all);
  expect(judgeOverload(heap)).toEqual({ kind: 'admitted' });
});

it('memory is looked through for garbage before it is held against anybody, and while it is', () => {
  const heap = { heap: 1500 };
  expect(mayBeGarbage(after(times(samplesToFlip - 2, heap)))).toBe(false);
  expect(mayBeGarbage(after(times(samplesToFlip - 1, heap)))).toBe(true);
  expect(mayBeGarbage(after(times(samplesToFlip, heap)))).toBe(true);
  expect(mayBeGarbage(after(times(samplesToFlip, { loop_delay: 900 })))).toBe(false);
});
