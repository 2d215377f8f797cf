import type { JobData } from '@millrace/shared/domain/request';
import type { Described } from '@millrace/shared/store/stream-log/port';
import type { LoopDelay } from '@millrace/shared/runtime/loop-delay';
import type { ActivationOutcome } from '@millrace/shared/store/queue/port';
import { expect, it, onTestFinished } from 'vitest';
import { createIntake } from './intake.ts';

const completed = { kind: 'completed', summary: 'stop' } as const;

const loopThatIsLate = (meanMs: () => number): LoopDelay => ({
  take: () => ({ meanMs: meanMs(), p99Ms: 0, maxMs: 0 }),
  takeWorst: () => 0,
  rest() {},
  resume() {},
  close() {},
});

function setUp({ ceiling = 2048 } = {}) {
  const state = { now: 1_000_000, lateMs: 0, logs: new Map<string, Partial<Described>>() };
  const told: string[] = [];
  const intake = createIntake({
    ceiling,
    log: { describe: async (id) => state.logs.get(id) as Described | undefined },
    loop: loopThatIsLate(() => state.lateMs),
    availabilityOf: () => 'limited',
    maxWaitMsOf: () => 30_000,
    now: () => state.now,
  });
  intake.attach({
    setConcurrency: (places) => told.push(`places ${places}`),
    skip: (models) => told.push(`avoid ${[...models].join()}`),
    fetchBurst: (shard, jobs) => told.push(`rush ${shard} ${jobs}`),
  });
  intake.close();
  told.length = 0;
  const ends: ((outcome: ActivationOutcome) => void)[] = [];
  const handle = intake.admitting(
    () => new Promise<ActivationOutcome>((resolve) => ends.push(resolve)),
  );
  const take = (id = 'a', number = 1, model = 'm') =>
    handle({
      id,
      number,
      data: { model } as JobData,
      token: 't',
      lockLost: new AbortController().signal,
    });
  function look(lateMs = 0, tookMs = 100) {
    Object.assign(state, { lateMs, now: state.now + tookMs });
    intake.look();
    return told.splice(0);
  }
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  return { intake, state, told, ends, take, look, settled };
}

it('a worker has places for twice as many as run, and beside them for those that only wait', async () => {
  const { intake, told, take, look, settled } = setUp();
  for (let i = 0; i < 100; i++) void take(`r${i}`, 1, 'other');
  await settled();
  expect(look()).toEqual(['places 200']);
  for (let i = 0; i < 30; i++) intake.waitLimits.waitStarted('other');
  told.length = 0;
  // Of the hundred seventy run, and the busiest moment since was before those thirty sat down.
  expect(look()).toEqual(['places 230']);
  expect(look()).toEqual(['places 170']);
  expect(intake.snapshot()).toMatchObject({ running: 70, waiting: 30, places: 140 });
});

it('what ran in between counts, though it has ended by the next look', async () => {
  const { take, ends, look, settled } = setUp();
  const runs = Array.from({ length: 90 }, () => take('r', 1, 'other'));
  await settled();
  for (const end of ends) end(completed);
  await Promise.all(runs);
  expect(look()).toEqual(['places 180']);
  expect(look()).toEqual(['places 64']);
});

it('a loop that stood still is late, though it has measured nothing', async () => {
  const { take, look, settled } = setUp();
  for (let i = 0; i < 200; i++) void take(`r${i}`, 1, 'other');
  await settled();
  expect(look(0, 600)).toEqual(['places 100']);
  expect(look(0, 100)).toEqual(['places 400']);
});

it('a drained worker has no places, also for a dead worker’s jobs, until it is resumed', async () => {
  const { intake, told, take, look, settled } = setUp();
  for (let i = 0; i < 100; i++) void take(`r${i}`, 1, 'other');
  await settled();
  intake.pause();
  expect(told.splice(0)).toEqual(['places 0']);
  expect(look()).toEqual(['places 0']);
  intake.makeRoomFor(0, 300);
  expect(told).toEqual([]);
  expect(intake.snapshot()).toMatchObject({ running: 100, places: 0 });
  intake.resume();
  expect(told).toEqual(['places 200']);
});

it('a dead worker’s jobs have room at once and for a while, whatever the loop says', async () => {
  const { intake, state, told, take, look, settled } = setUp();
  for (let i = 0; i < 100; i++) void take(`r${i}`, 1, 'other');
  await settled();
  look(500);
  intake.makeRoomFor(0, 300);
  intake.makeRoomFor(1, 50);
  expect(told.splice(0)).toEqual(['places 400', 'rush 0 300', 'places 450', 'rush 1 50']);
  expect(look(500)).toEqual(['places 450']);
  state.now += 2000;
  expect(look(500)).toEqual(['places 64']);
});

it('a job of a model whose line is full goes back without a word in its log', async () => {
  const { intake, ends, take, settled } = setUp();
  intake.waitLimits.waitStarted('m');
  expect(await take('new')).toEqual({ kind: 'not_yet' });
  expect(ends).toEqual([]);
  void take('of another model', 1, 'other');
  await settled();
  expect(ends).toHaveLength(1);
  expect(intake.snapshot().putBack).toEqual({ m: 1 });
});

it('a job that another worker had goes back only where its log is empty', async () => {
  const { intake, state, ends, take, settled } = setUp();
  intake.waitLimits.waitStarted('m');
  state.logs.set('untouched', { last: { run: 0, seq: 0 } });
  state.logs.set('begun', { last: { run: 1, seq: 3 } });
  state.logs.set('ended', { last: { run: 0, seq: 0 }, ended: 'cancelled' });
  expect(await take('untouched', 2)).toEqual({ kind: 'not_yet' });
  for (const id of ['begun', 'ended', 'gone']) void take(id, 2);
  await settled();
  expect(ends).toHaveLength(3);
});

it('a run that turns back is counted with them', async () => {
  const { intake, ends, take, settled } = setUp();
  const outcome = take();
  await settled();
  ends[0]?.({ kind: 'not_yet' });
  expect(await outcome).toEqual({ kind: 'not_yet' });
  expect(intake.snapshot()).toMatchObject({ putBack: { m: 1 }, running: 0 });
});

it('a run that begins when the worker has come to rest meanwhile wakes it', async () => {
  const described = Promise.withResolvers<Described | undefined>();
  const rests: boolean[] = [];
  let clock = 1_000_000;
  const intake = createIntake({
    ceiling: 2048,
    log: { describe: () => described.promise },
    loop: loopThatIsLate(() => 0),
    availabilityOf: () => 'limited',
    maxWaitMsOf: () => 30_000,
    onChange: (isAtRest) => rests.push(isAtRest),
    now: () => clock,
  });
  onTestFinished(() => intake.close());
  intake.attach({ setConcurrency() {}, skip() {}, fetchBurst() {} });
  intake.waitLimits.waitStarted('m');
  let begun = 0;
  const handle = intake.admitting(async () => {
    begun += 1;
    return completed;
  });
  const data = { model: 'm' } as JobData;
  const lockLost = new AbortController().signal;
  const run = handle({ id: 'begun', number: 2, data, token: 't', lockLost });
  intake.waitLimits.waitEnded('m', clock, 'gone');
  clock += 30_000;
  intake.look();
  intake.look();
  expect(rests).toEqual([false, true]);
  described.resolve(undefined);
  await run;
  expect([begun, ...rests]).toEqual([1, false, true, false]);
});
