import { UnrecoverableError } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Keyspace } from '../keys.ts';
import { clearSuspect, suspectName } from './casualties.ts';
import { lockMs, openDesk } from './desk.ts';
import type { Desk, HeldBullJob } from './desk.ts';
import { startFetching } from './fetching.ts';
import type { Fetching } from './fetching.ts';
import { heldJobs, takeBack } from './held-jobs.ts';
import { createIsolation } from './isolation.ts';
import { createLockKeeper } from './lock-keeper.ts';
import type { LockKeeper } from './lock-keeper.ts';
import { createPlaces } from './places.ts';
import type { Activation, ActivationHandler, ActivationOutcome, JobConsumer } from './port.ts';
import { createStrays } from './strays.ts';
import type { Strays } from './strays.ts';
import { createTakings } from './takings.ts';
import type { Takings } from './takings.ts';
import { createWaitingLine } from './waiting-line.ts';

export type BullConsumerOptions = {
  /** For the commands; each shard gets two connections from it, one of them for its blocking read. */
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** The worker's id: BullMQ writes it into every job that it takes. */
  name: string;
  /** Jobs at once, over all shards, until `setPlaces` says otherwise. */
  concurrency: number;
  onError: (error: Error) => void;
};

/** Of a suspect: what its run calls when it has shown something, and what lets the next suspect come. */
type Admitted = { shown?: Activation['shown']; free?: () => void };

/** What one shard's jobs pass on their way through this worker. */
type Shard = {
  desk: Desk;
  keeper: LockKeeper;
  takings: Takings;
  strays: Strays;
};

/** Takes jobs from every shard and gives each activation to the handler. */
export function startBullConsumer(
  options: BullConsumerOptions,
  handle: ActivationHandler,
): JobConsumer {
  const { redis, keys, shards: count, name, concurrency, onError } = options;
  const line = createWaitingLine({ redis, keys });
  const note = (error: unknown) => onError(asError(error));
  const places = createPlaces(concurrency);
  /** Models that are not to be taken, as told. */
  let unwanted: ReadonlySet<string> = new Set();
  /** The same, with the name of the suspects while one is here. Another set is another object. */
  let avoided = unwanted;
  let held = 0;
  let stopping: Promise<void> | undefined;

  const isolation = createIsolation({ onFree: avoidAnew });
  function avoidAnew(): void {
    avoided = isolation.isTaken ? new Set([...unwanted, suspectName]) : unwanted;
    lookAtAll();
  }

  /** A job from its fetch to its end in the queue, which may bring the next one. */
  async function run(
    shard: Shard,
    job: HeldBullJob,
    wantsNext: () => boolean,
  ): Promise<HeldBullJob | undefined> {
    const { desk } = shard;
    const admitted = await admit(shard, job);
    if (!admitted) return undefined;
    let outcome: ActivationOutcome;
    try {
      outcome = await activate(shard, job, admitted);
    } catch (error) {
      // Clients learn that it failed; why, only this log says.
      note(error);
      await desk.fail(job, asError(error));
      return undefined;
    }
    if (outcome.kind === 'completed') {
      const brings = !stopping && avoided.size === 0 && wantsNext();
      return desk.complete(job, outcome.summary, brings);
    }
    if (outcome.kind === 'failed') await desk.fail(job, new UnrecoverableError(outcome.reason));
    if (outcome.kind === 'handed_back') await handBack(shard, job);
    if (outcome.kind === 'not_yet') await putBack(shard, job);
    return undefined;
  }

  /** Undefined when it is not to be run, and has been put where it belongs. */
  async function admit(shard: Shard, job: HeldBullJob): Promise<Admitted | undefined> {
    const { desk, takings } = shard;
    // BullMQ has it fail: its workers died too often.
    if (job.deferredFailure) {
      await desk.fail(job, new UnrecoverableError(job.deferredFailure));
      return undefined;
    }
    const isFirst = job.attemptsStarted <= 1;
    takings.add(isFirst ? (job.data.standing?.bytes ?? 0) : 0);
    const isSuspect = job.name === suspectName;
    // The fetch was under way when this was decided.
    if (!isSuspect && (stopping || (places.over && !isFirst))) {
      await handBack(shard, job);
      return undefined;
    }
    const isLeft = isSuspect ? stopping || isolation.isTaken : isFirst && avoided.has(job.name);
    if (isLeft || places.over) {
      await putBack(shard, job);
      return undefined;
    }
    // Before anything is awaited: two of them may have been fetched at once.
    return isSuspect ? isolate(shard, job) : {};
  }

  async function activate(
    { keeper }: Shard,
    job: HeldBullJob,
    { shown, free }: Admitted,
  ): Promise<ActivationOutcome> {
    const { id = '', attemptsStarted: number, data, token = '' } = job;
    // From here on the run minds it.
    if (data.deadlineAt !== undefined) line.strike([id]).catch(note);
    const lock = keeper.keep(id, token);
    held += 1;
    let outcome: ActivationOutcome | undefined;
    try {
      outcome = await handle({ id, number, data, shown, lockLost: lock.lost });
      // Somebody else has it, and Redis would refuse whatever we do to it.
      return lock.lost.aborted ? { kind: 'dropped' } : outcome;
    } finally {
      held -= 1;
      lock.release();
      // A suspect that goes back waits where this worker would find it again at once: suspects are left to
      // others until the time of its isolation is over.
      if (outcome?.kind !== 'not_yet') free?.();
    }
  }

  function isolate({ desk }: Shard, { id = '', token = '', data }: HeldBullJob): Admitted {
    const free = isolation.take();
    avoidAnew();
    let hasShown = false;
    const shown = () => {
      if (hasShown) return;
      hasShown = true;
      free();
      // Else it would wait for its turn as a suspect again, with a reader in mid-answer.
      clearSuspect(redis, desk.worker, { id, token }, data.model).catch(note);
    };
    return { shown, free };
  }

  /** Its deadline is minded again by those who look at the queue. */
  function waitsAgain({ id = '', data: { deadlineAt } }: HeldBullJob): void {
    if (deadlineAt !== undefined) line.mind(id, deadlineAt).catch(note);
  }

  async function handBack({ desk }: Shard, job: HeldBullJob): Promise<void> {
    waitsAgain(job);
    await desk.handBack(job);
  }

  async function putBack({ desk, takings }: Shard, job: HeldBullJob): Promise<void> {
    waitsAgain(job);
    const outcome = await desk.putBack(job);
    if (outcome === 'ended') await desk.complete(job, 'had ended already', false);
    if (outcome !== 'back') return;
    takings.spare();
    // Who slept was woken by its taking, and may want what this worker does not.
    await desk.wake();
  }

  function openShard(number: number): Shard {
    const desk = openDesk({ redis, keys, shard: number, name, onError: note });
    const { worker } = desk;
    const keeper = createLockKeeper({
      extend: (ids, tokens) => worker.extendJobLocks(ids, tokens, lockMs),
      everyMs: lockMs / 4,
      onError,
    });
    const took = (...what: [jobs: number, bytes: number]) => line.took(number, ...what, avoided);
    const strays = createStrays({
      held: () => heldJobs(redis, worker, name),
      isKept: keeper.has,
      putBack: async (job) => {
        if ((await takeBack(worker, job)) > 0) await desk.wake();
      },
      onError: note,
    });
    return { desk, keeper, takings: createTakings({ took, onError: note }), strays };
  }

  function fetchFrom(shard: Shard): Fetching {
    const { desk } = shard;
    const isAvoiding = () => avoided.size > 0;
    return startFetching<HeldBullJob>({
      places,
      fetch: () => desk.fetch(avoided),
      run: (job, wantsNext) => run(shard, job, wantsNext),
      sleep: () => desk.sleep(() => places.free && !stopping, isAvoiding),
      onError: note,
    });
  }

  const shards = Array.from({ length: count }, (_, number) => openShard(number));
  const fetchings = shards.map(fetchFrom);
  const lookAtAll = () => {
    for (const fetching of fetchings) fetching.look();
  };
  const onReady = () => {
    for (const { strays } of shards) strays.look();
  };
  redis.on('ready', onReady);

  /** Takes no more jobs, and ends with those that it holds; their locks are kept until then. */
  async function stop(): Promise<void> {
    places.close();
    const ends = shards.map(async ({ desk, keeper, strays }, number) => {
      await Promise.all([desk.stop().catch(note), fetchings[number]?.stop()]);
      keeper.close();
      strays.close();
      await desk.close();
    });
    await Promise.all(ends);
    isolation.close();
    redis.off('ready', onReady);
  }

  const close = () => {
    stopping ??= stop();
    return stopping;
  };

  return {
    get held() {
      return held;
    },
    setPlaces(wanted) {
      if (!stopping) places.set(wanted);
    },
    avoid(models) {
      unwanted = new Set(models);
      avoidAnew();
    },
    checkLocks() {
      for (const { keeper } of shards) void keeper.renew();
    },
    async pausedShards() {
      const paused = await Promise.all(shards.map(({ desk }) => desk.isPaused()));
      return paused.flatMap((isPaused, shard) => (isPaused ? [shard] : []));
    },
    rush: (shard, jobs) => fetchings[shard]?.rush(jobs),
    async stop() {
      close().catch(onError);
    },
    close,
  };
}

const asError = (error: unknown): Error =>
  error instanceof Error ? error : new Error(String(error));
