import { expect, test } from 'vitest';
import { isForDebugLog } from './debug-choice.ts';

test.each([
  { sample: undefined, isWatched: true, random: 0, expected: false },
  { sample: 0, isWatched: true, random: 0.9, expected: true },
  { sample: 0, isWatched: false, random: 0, expected: false },
  { sample: 0.25, isWatched: false, random: 0.249, expected: true },
  { sample: 0.25, isWatched: false, random: 0.25, expected: false },
  { sample: 1, isWatched: false, random: 0.999, expected: true },
])(
  'of a share of $sample, a request at $random (its key watched: $isWatched) is recorded: $expected',
  ({ sample, isWatched, random, expected }) => {
    expect(isForDebugLog(sample, isWatched, random)).toBe(expected);
  },
);
