import { expect, test, vi } from 'vitest';
import { createLostJobs } from './lost-jobs.ts';
import type { HeldJob } from './held-jobs.ts';

function open(held: HeldJob[], kept: string[] = [], asked = Promise.resolve()) {
  const back: string[] = [];
  const lostJobs = createLostJobs({
    held: async () => {
      await asked;
      return held;
    },
    isKept: (id) => kept.includes(id),
    putBack: async ({ id }) => back.push(id),
    onError: (error) => {
      throw error;
    },
  });
  return { lostJobs, back };
}

test('the first jobs of a fetch that was sent twice are put back at once', async () => {
  const jobs = ['lost', 'came', 'kept', 'other'].map((id, i) => ({ id, token: `t1:${i + 1}` }));
  const [lost, came, kept] = jobs as [HeldJob, HeldJob, HeldJob];
  const other = { id: 'other', token: 't2:1' };
  const { lostJobs, back } = open([lost, came, kept, other], ['kept']);
  lostJobs.reclaim('t1:', new Set(['came']));
  await vi.waitFor(() => expect(back).toEqual(['lost']));
  await lostJobs.close();
});

test('closing waits until a search under way has put its jobs back', async () => {
  const { promise: asked, resolve: answer } = Promise.withResolvers<void>();
  const { lostJobs, back } = open([{ id: 'lost', token: 't1:1' }], [], asked);
  lostJobs.reclaim('t1:', new Set());
  const closed = lostJobs.close();
  answer();
  await closed;
  expect(back).toEqual(['lost']);
});

test('closing puts back the jobs that a check has found, without the usual wait', async () => {
  const { lostJobs, back } = open([{ id: 'lost', token: 't1:1' }]);
  lostJobs.check();
  await lostJobs.close();
  expect(back).toEqual(['lost']);
});

test('a job is put back though checks come more often than a confirmation takes', async () => {
  vi.useFakeTimers();
  try {
    const { lostJobs, back } = open([{ id: 'lost', token: 't1:1' }]);
    for (let i = 0; i < 6; i += 1) {
      lostJobs.check();
      await vi.advanceTimersByTimeAsync(250);
    }
    expect(back).toEqual(['lost']);
  } finally {
    vi.useRealTimers();
  }
});

test('a job that a later check finds is put back a second after the first ones', async () => {
  vi.useFakeTimers();
  try {
    const held = [{ id: 'first', token: 't1:1' }];
    const { lostJobs, back } = open(held);
    lostJobs.check();
    await vi.advanceTimersByTimeAsync(500);
    held.push({ id: 'second', token: 't2:1' });
    lostJobs.check();
    await vi.advanceTimersByTimeAsync(600);
    expect(back).toEqual(['first']);
    held.shift();
    await vi.advanceTimersByTimeAsync(1000);
    expect(back).toEqual(['first', 'second']);
  } finally {
    vi.useRealTimers();
  }
});
