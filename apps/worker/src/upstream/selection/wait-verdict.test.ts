import { expect, it } from 'vitest';
import { waitVerdict } from './wait-verdict.ts';
import type { WaitSituation } from './wait-verdict.ts';

const free: WaitSituation = {
  isAborted: false,
  isPastDeadline: false,
  leftMs: 1000,
  isParked: false,
  urgent: false,
  isFresh: false,
  isDetached: false,
  isModelFull: false,
  isFull: false,
};
const verdictOf = (situation: Partial<WaitSituation>) => waitVerdict({ ...free, ...situation });

it.each<[string, Partial<WaitSituation>, ReturnType<typeof waitVerdict>]>([
  ['waits while there is room', {}, { kind: 'wait' }],
  ['ends with its run', { isAborted: true, isPastDeadline: true }, { kind: 'aborted' }],
  [
    'ends at its deadline, however long it may wait',
    { isPastDeadline: true },
    { kind: 'too_late' },
  ],
  ['fails when its time to wait is over', { leftMs: 0 }, { kind: 'unavailable', goesBack: false }],
  [
    'goes back then if it is a job',
    { leftMs: 0, isDetached: true },
    { kind: 'unavailable', goesBack: true },
  ],
  [
    'goes back if it is new and its model is full',
    { isFresh: true, isModelFull: true },
    { kind: 'not_yet' },
  ],
  ['waits in a full model once it has asked', { isModelFull: true }, { kind: 'wait' }],
  [
    'fails in a full worker once it has asked',
    { isFull: true },
    { kind: 'unavailable', goesBack: false },
  ],
  [
    'goes back from a full worker if it is new',
    { isFull: true, isFresh: true },
    { kind: 'unavailable', goesBack: true },
  ],
  [
    'keeps its place in a full worker',
    { isFull: true, isModelFull: true, isParked: true, isFresh: true },
    { kind: 'wait' },
  ],
  [
    'waits in a full worker with a reader in mid-answer',
    { isFull: true, isModelFull: true, urgent: true },
    { kind: 'wait' },
  ],
])('a request %s', (_, situation, verdict) => {
  expect(verdictOf(situation)).toEqual(verdict);
});
