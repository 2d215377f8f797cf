import { expect, test } from 'vitest';
import { emptySample } from './live.fixture.ts';
import { createLiveSamples, freshMs } from './sample.ts';

function start(ask: () => Promise<never> | Promise<{ answers: never[]; heard: number }>) {
  const clock = { now: 0 };
  let asked = 0;
  const sample = createLiveSamples({
    inquiries: {
      ask: () => {
        asked += 1;
        return ask();
      },
    },
    readWaiting: async () => emptySample().waiting,
    now: () => clock.now,
  });
  return { sample, clock, asked: () => asked };
}

test('all who look within half a second share one sample', async () => {
  const { sample, clock, asked } = start(async () => ({ answers: [], heard: 0 }));
  await Promise.all([sample(), sample()]);
  clock.now += freshMs - 1;
  await sample();
  expect(asked()).toBe(1);
  clock.now += 1;
  await sample();
  expect(asked()).toBe(2);
});

test('a sample that failed is not shared', async () => {
  const { sample, asked } = start(() => Promise.reject(new Error('away')));
  await expect(sample()).rejects.toThrow('away');
  await expect(sample()).rejects.toThrow('away');
  expect(asked()).toBe(2);
});
