import { expect, test, vi } from 'vitest';
import { createStrays } from './strays.ts';
import type { HeldJob } from './held-jobs.ts';

function open(held: HeldJob[], kept: string[] = []) {
  const back: string[] = [];
  const strays = createStrays({
    held: async () => held,
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
  strays.close();
});
