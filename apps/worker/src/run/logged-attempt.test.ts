import { expect, it } from 'vitest';
import type { Attempt, AttemptOutcome } from './attempt.ts';
import { ourFault } from './failed-attempt.ts';
import { startWhenLogged } from './logged-attempt.ts';

function createRig() {
  const logged = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<AttemptOutcome>();
  const controller = new AbortController();
  const calls: string[] = [];
  const inner: Attempt = {
    outcome: ended.promise,
    firstTokenAt: 7,
    heldBytes: 3,
    stop: () => calls.push('stop'),
    pause: () => calls.push('pause'),
    resume: () => calls.push('resume'),
  };
  const attempt = startWhenLogged({
    logged: logged.promise,
    signal: controller.signal,
    start() {
      calls.push('call');
      return inner;
    },
    onNotCalled: () => calls.push('not called'),
  });
  return { attempt, calls, ended, controller, logged };
}

it("the call is made when the line is in the log, and its outcome is the attempt's", async () => {
  const { attempt, calls, logged, ended } = createRig();
  await Promise.resolve();
  expect(calls).toEqual([]);
  expect(attempt).toMatchObject({ firstTokenAt: undefined, heldBytes: 0 });
  logged.resolve();
  await logged.promise;
  expect(calls).toEqual(['call']);
  expect(attempt).toMatchObject({ firstTokenAt: 7, heldBytes: 3 });
  attempt.stop(ourFault);
  expect(calls).toEqual(['call', 'stop']);
  ended.resolve({ kind: 'aborted' });
  expect(await attempt.outcome).toEqual({ kind: 'aborted' });
});

it('a run that turns out to have lost its log makes no call, and gives the place back once', async () => {
  const { attempt, calls, logged, controller } = createRig();
  controller.abort('fenced');
  logged.resolve();
  expect(await attempt.outcome).toEqual({ kind: 'aborted' });
  attempt.stop('superseded');
  expect(calls).toEqual(['not called']);
});

it('one that is called off before its call is made ends by that', async () => {
  const { attempt, calls, logged } = createRig();
  attempt.stop('superseded');
  logged.resolve();
  expect(await attempt.outcome).toEqual({ kind: 'superseded' });
  expect(calls).toEqual(['not called']);
});

it('a pause from before the call holds for the call', async () => {
  const { attempt, calls, logged } = createRig();
  attempt.pause();
  logged.resolve();
  await logged.promise;
  attempt.resume();
  expect(calls).toEqual(['call', 'pause', 'resume']);
});
