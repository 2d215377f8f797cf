import { expect, it } from 'vitest';
import type { Attempt, AttemptOutcome } from './attempt.ts';
import { ourFault } from './failed-attempt.ts';
import { startWhenLogged } from './logged-attempt.ts';

function createRig() {
  const logged = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<AttemptOutcome>();
  const controller = new AbortController();
  const told: string[] = [];
  const inner: Attempt = {
    outcome: ended.promise,
    firstTokenAt: 7,
    heldBytes: 3,
    stop: () => told.push('stop'),
    pause: () => told.push('pause'),
    resume: () => told.push('resume'),
  };
  const attempt = startWhenLogged({
    logged: logged.promise,
    signal: controller.signal,
    start() {
      told.push('call');
      return inner;
    },
    spare: () => told.push('spare'),
  });
  return { attempt, told, ended, controller, logged };
}

it("the call is made when the line is in the log, and its outcome is the attempt's", async () => {
  const { attempt, told, logged, ended } = createRig();
  await Promise.resolve();
  expect(told).toEqual([]);
  expect(attempt).toMatchObject({ firstTokenAt: undefined, heldBytes: 0 });
  logged.resolve();
  await logged.promise;
  expect(told).toEqual(['call']);
  expect(attempt).toMatchObject({ firstTokenAt: 7, heldBytes: 3 });
  attempt.stop(ourFault);
  expect(told).toEqual(['call', 'stop']);
  ended.resolve({ kind: 'aborted' });
  expect(await attempt.outcome).toEqual({ kind: 'aborted' });
});

it('a run that turns out to have lost its log makes no call, and gives the place back once', async () => {
  const { attempt, told, logged, controller } = createRig();
  controller.abort('fenced');
  logged.resolve();
  expect(await attempt.outcome).toEqual({ kind: 'aborted' });
  attempt.stop('superseded');
  expect(told).toEqual(['spare']);
});

it('one that is called off before its call is made ends by that', async () => {
  const { attempt, told, logged } = createRig();
  attempt.stop('superseded');
  logged.resolve();
  expect(await attempt.outcome).toEqual({ kind: 'superseded' });
  expect(told).toEqual(['spare']);
});

it('a pause from before the call holds for the call', async () => {
  const { attempt, told, logged } = createRig();
  attempt.pause();
  logged.resolve();
  await logged.promise;
  attempt.resume();
  expect(told).toEqual(['call', 'pause', 'resume']);
});
