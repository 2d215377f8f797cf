import { expect, test } from 'vitest';
import { judge, restartPolicy } from './restart-policy.ts';

const death = { cause: 'SIGKILL', aliveMs: 100, hasServed: true, deathsInARow: 0 } as const;

test('deaths in a row are waited out longer and longer, up to five seconds', () => {
  const waits = [0, 1, 2, 5, 6, 50].map((deathsInARow) => judge({ ...death, deathsInARow }));
  expect(waits.map((verdict) => verdict.kind === 'restart' && verdict.afterMs)).toEqual([
    100, 200, 400, 3200, 5000, 5000,
  ]);
});

test('a process that lived for ten seconds starts from the shortest wait again', () => {
  const { steadyMs } = restartPolicy;
  expect(judge({ ...death, aliveMs: steadyMs, deathsInARow: 9 })).toEqual({
    kind: 'restart',
    afterMs: 100,
    deathsInARow: 1,
  });
});

test('one that ends by itself before it ever served is given up, with any code', () => {
  expect(judge({ ...death, hasServed: false, cause: 78 }).kind).toBe('give up');
  expect(judge({ ...death, hasServed: false, cause: 0 }).kind).toBe('give up');
  expect(judge({ ...death, cause: 78 }).kind).toBe('restart');
});

test('one that is killed before it ever served is tried five times', () => {
  expect(judge({ ...death, hasServed: false, deathsInARow: 3 }).kind).toBe('restart');
  expect(judge({ ...death, hasServed: false, deathsInARow: 4 }).kind).toBe('give up');
});
