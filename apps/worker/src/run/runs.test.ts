import type { Activation } from '@millrace/shared/store/queue/port';
import type { RunView } from '@millrace/shared/domain/inquiry';
import { expect, test } from 'vitest';
import type { StopReason } from './port.ts';
import { createRuns } from './runs.ts';

const activation = (id: string) => ({ id, data: { attached: true } }) as Activation;
const held = () => ({ attempts: 1, delivered: 2 });

function register(runs: ReturnType<typeof createRuns>, id: string) {
  const told: StopReason[] = [];
  const stop = (reason: StopReason) => void told.push(reason);
  const look = () => ({ rescues: 0 }) as RunView;
  const move = () => ({ kind: 'no_attempt' as const });
  const unregister = runs.register(activation(id), { stop, held, look, move });
  return { told, unregister };
}

test('a run is told to stop while it is there', () => {
  const runs = createRuns();
  const { told, unregister } = register(runs, 'a');
  runs.stop('a', 'gone');
  expect(told).toEqual(['gone']);
  unregister();
  runs.stop('a', 'gone');
  expect(told).toEqual(['gone']);
  expect(runs.held()).toEqual({ attempts: 0, delivered: 0 });
});

test('a run whose request ended before it was here is told so when it comes, and once', () => {
  const runs = createRuns();
  runs.stop('a', 'finished');
  runs.stop('b', 'shutdown');
  expect(register(runs, 'a').told).toEqual(['finished']);
  expect(register(runs, 'a').told).toEqual([]);
  expect(register(runs, 'b').told).toEqual([]);
});

test('a run whose request ended while an older one was here is told so when it comes', () => {
  const runs = createRuns();
  const old = register(runs, 'a');
  runs.stop('a', 'finished');
  expect(old.told).toEqual(['finished']);
  expect(register(runs, 'a').told).toEqual(['finished']);
});

test('ends of requests that never come here are forgotten, the oldest first', () => {
  const runs = createRuns();
  for (let i = 0; i <= 1000; i += 1) runs.stop(`r${i}`, 'finished');
  expect(register(runs, 'r0').told).toEqual([]);
  expect(register(runs, 'r1').told).toEqual(['finished']);
});
