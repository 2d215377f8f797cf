import { expect, test, vi } from 'vitest';
import { createStrays } from './lost-jobs.ts';
import type { HeldJob } from './held-jobs.ts';

function open(held: HeldJob[], kept: string[] = [], asked = Promise.resolve()) {
  const back: string[] = [];
  const strays = createStrays({
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
  return { strays, back };
}

test('a fetch that was sent twice has its first jobs put back at once', async () => {
  const jobs = ['lost', 'came', 'kept', 'other'].map((id, i) => ({ id, token: `t1:${i + 1}` }));
  const [lost, came, kept] = jobs as [HeldJob, HeldJob, HeldJob];
  const other = { id: 'other', token: 't2:1' };
  const { strays, back } = open([lost, came, kept, other], ['kept']);
  strays.claim('t1:', new Set(['came']));
  await vi.waitFor(() => expect(back).toEqual(['lost']));
  await strays.close();
});

test('what is looked for at the end is back before it is over', async () => {
  const { promise: asked, resolve: answer } = Promise.withResolvers<void>();
  const { strays, back } = open([{ id: 'lost', token: 't1:1' }], [], asked);
  strays.claim('t1:', new Set());
  const closed = strays.close();
  answer();
  await closed;
  expect(back).toEqual(['lost']);
});

test('what was found by a look is back at the end, without the wait', async () => {
  const { strays, back } = open([{ id: 'lost', token: 't1:1' }]);
  strays.look();
  await strays.close();
  expect(back).toEqual(['lost']);
});
