import { randomUUID } from 'node:crypto';
import { UnrecoverableError, WaitingError, Worker } from 'bullmq';
import type { Job } from 'bullmq';
import type { Redis } from 'ioredis';
import type { JobData } from '../domain/request.ts';
import { queueName } from '../keys.ts';
import type { Keyspace } from '../keys.ts';
import { heldJobs, takeBack, wake } from './held-jobs.ts';
import { isNotOurs } from './lock-errors.ts';
import { createLockKeeper } from './lock-keeper.ts';
import type { LockKeeper } from './lock-keeper.ts';
import { retryRefused } from '../retry-refused.ts';
import type { ActivationHandler, JobConsumer } from './port.ts';
import { createStrays } from './strays.ts';
import type { Strays } from './strays.ts';
import { createTakings } from './takings.ts';
import type { Takings } from './takings.ts';
import { createWaitingLine } from './waiting-line.ts';

export type BullConsumerOptions = {
  /** For the commands; each shard's blocking read gets a connection of its own from it. */
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** The worker's id: BullMQ writes it into every job that it takes. */
  name: string;
  /** Jobs at once, over all shards. */
  concurrency: number;
  onError: (error: Error) => void;
};

/**
 * Seconds that BullMQ's blocking read waits before it looks by itself: the longest that a job waits
 * whose wake-up was lost with a connection.
 */
const drainDelaySeconds = 1;

/** Milliseconds before BullMQ tries a failed fetch again. Its default of 15 s would outlast a Redis restart. */
const retryDelayMs = 250;

/** Milliseconds that a lock outlives its last renewal: BullMQ's default, as its stalled check expects. */
const lockMs = 30_000;

/**
 * Fetches under way at once, per shard: BullMQ's Worker makes one after the other, and a hundred round
 * trips in a row are too long for the readers of a worker that died.
 */
const fetchLanes = 4;

/** More of them when many jobs are known to wait, until there are none: a dead worker's readers wait. */
const rushLanes = 16;

/** How long a job is handed back for, while Redis refuses it for now; milliseconds. */
const handBackMs = 10_000;

type Lane = Worker<JobData, string>;

/** What is kept of the jobs that one shard's fetchers take. */
type Books = { keeper: LockKeeper; takings: Takings };

/** One shard's fetchers. */
type Team = {
  lanes: Lane[];
  keeper: LockKeeper;
  strays: Strays;
  places: number;
  /** Jobs that were fetched beside the lanes. */
  rushed: Set<Promise<void>>;
  /** Fetches beside the lanes that are under way. */
  fetching: number;
  /** Whoever fetches beside the lanes: each may still bring a job. */
  rushes: Set<Promise<void>>;
};

/** Takes jobs from every shard and gives each activation to the handler. */
export function startBullConsumer(
  options: BullConsumerOptions,
  handle: ActivationHandler,
): JobConsumer {
  const { redis, keys, shards, name, concurrency, onError } = options;
  const line = createWaitingLine({ redis, keys });
  const note = (error: unknown) => onError(asError(error));
  let held = 0;
  /** Runs that have begun with their fetch. */
  const begun = new WeakMap<Job, Promise<string>>();
  let stopping: Promise<void> | undefined;

  async function process({ keeper, takings }: Books, job: Job<JobData>): Promise<string> {
    const { id = '', token = '' } = job;
    takings.add(job.attemptsStarted > 1 ? 0 : (job.data.standing?.bytes ?? 0));
    // From here on the run minds it.
    if (job.data.deadlineAt !== undefined) line.strike([id]).catch(note);
    // BullMQ may still pop a job while it stops: it goes straight back to the others.
    if (stopping) return handBack(job, token);
    const lock = keeper.keep(id, token);
    held += 1;
    try {
      const outcome = await handle({
        id,
        number: job.attemptsStarted,
        data: job.data,
        lockLost: lock.lost,
      });
      // Somebody else has it: BullMQ would only be told so by Redis, and call it an error.
      if (lock.lost.aborted) throw new WaitingError();
      if (outcome.kind === 'completed') return outcome.summary;
      if (outcome.kind === 'failed') throw new UnrecoverableError(outcome.reason);
      if (outcome.kind === 'handed_back') return await handBack(job, token);
      // Tells BullMQ to leave the job as it is.
      throw new WaitingError();
    } finally {
      held -= 1;
      lock.release();
    }
  }

  /**
   * Puts the job in front of the queue. The token makes Redis refuse when the job is not ours any more.
   * Where Redis refuses for now and does not stop to, the job stays as it is: BullMQ's stalled check
   * finds it, while a job that failed would be lost.
   */
  async function handBack(job: Job<JobData>, token: string): Promise<never> {
    if (token === '') throw new WaitingError();
    try {
      const front = async () => {
        await job.moveToWait(token);
        await wake(redis, job.queueQualifiedName);
      };
      const moved = await retryRefused(front, { withinMs: handBackMs });
      if (moved.kind === 'refused') onError(asError(moved.error));
    } catch (error) {
      if (!isNotOurs(error)) throw error;
    }
    throw new WaitingError();
  }

  function openShard(shard: number): Team {
    const lanes: Lane[] = [];
    const keeper = createLockKeeper({
      extend: async (ids, tokens) => (await lanes[0]?.extendJobLocks(ids, tokens, lockMs)) ?? [],
      everyMs: lockMs / 4,
      onError,
    });
    const takings = createTakings({ took: (...what) => line.took(shard, ...what), onError: note });
    const books = { keeper, takings };
    const places = Math.max(1, Math.ceil(concurrency / shards));
    for (let lane = 0; lane < Math.min(fetchLanes, places); lane++) {
      const share = Math.floor((places + lane) / Math.min(fetchLanes, places));
      lanes.push(openLane(shard, share, books));
    }
    const [first] = lanes as [Lane];
    const strays = createStrays({
      held: () => heldJobs(redis, first, name),
      isKept: keeper.has,
      putBack: async (job) => {
        if ((await takeBack(first, job)) > 0) await wake(redis, first.qualifiedName);
      },
      onError: note,
    });
    return { lanes, keeper, strays, places, rushed: new Set(), fetching: 0, rushes: new Set() };
  }

  function openLane(shard: number, places: number, books: Books): Lane {
    const lane: Lane = new Worker(queueName, (job) => begun.get(job) ?? process(books, job), {
      connection: redis,
      prefix: keys.tag(shard),
      name,
      concurrency: places,
      drainDelay: drainDelaySeconds,
      runRetryDelay: retryDelayMs,
      lockDuration: lockMs,
      // BullMQ tracks by job id: where a worker gets a job back that was taken from it, the end of the
      // old run would stop the renewal of the new one's lock.
      skipLockRenewal: true,
    });
    lane.on('error', onError);
    // BullMQ fetches as many jobs as there are places, one after the other, and only then gives the
    // first one to us. After a takeover a hundred readers wait: each run begins with its own fetch.
    lane.on('active', (job) => {
      // BullMQ fails this one by itself: its workers died too often.
      if (job.deferredFailure) return;
      const work = process(books, job);
      work.catch(() => {}); // BullMQ hears of it when it asks.
      begun.set(job, work);
    });
    return lane;
  }

  const teams = Array.from({ length: shards }, (_, shard) => openShard(shard));
  const onReady = () => {
    for (const { strays } of teams) strays.look();
  };
  redis.on('ready', onReady);

  /** Fetches one job after the other beside the lanes' own loops, until there is none or no place. */
  async function rush(team: Team): Promise<void> {
    const { lanes, rushed } = team;
    // A lane cannot be told to hold none.
    while (lanes[0] && !stopping && held + team.fetching < concurrency - lanes.length) {
      team.fetching += 1;
      share(team);
      const token = randomUUID();
      const job = await lanes[0].getNextJob(token, { block: false }).finally(() => {
        team.fetching -= 1;
      });
      if (!job) break;
      const settled = settle(job, token)
        .catch(onError)
        .finally(() => {
          rushed.delete(settled);
          share(team);
        });
      rushed.add(settled);
    }
    share(team);
  }

  /** What BullMQ's loop does with the jobs that it has fetched itself. */
  async function settle(job: Job<JobData>, token: string): Promise<void> {
    try {
      if (job.deferredFailure) throw new UnrecoverableError(job.deferredFailure);
      await job.moveToCompleted((await begun.get(job)) ?? '', token, false);
    } catch (error) {
      if (error instanceof WaitingError || isNotOurs(error)) return;
      await job.moveToFailed(asError(error), token);
    }
  }

  /** The lanes may hold what the rushes do not. */
  function share({ lanes, places, rushed, fetching }: Team): void {
    const left = Math.max(0, places - rushed.size - fetching);
    for (const [i, lane] of lanes.entries()) {
      lane.concurrency = Math.max(1, Math.floor((left + i) / lanes.length));
    }
  }

  /** BullMQ's close takes no more jobs and ends with those that it holds; their locks are kept until then. */
  const stop = () => {
    stopping ??= Promise.all(
      teams.map(async ({ lanes, keeper, strays, rushed, rushes }) => {
        await Promise.all(lanes.map((lane) => lane.close()));
        // A fetch that was under way may have brought a job, and that one is handed back.
        while (rushes.size + rushed.size > 0) await Promise.all([...rushes, ...rushed]);
        keeper.close();
        strays.close();
      }),
    ).then(() => void redis.off('ready', onReady));
    return stopping;
  };

  return {
    get held() {
      return held;
    },
    checkLocks() {
      for (const { keeper } of teams) void keeper.renew();
    },
    rush(shard, jobs) {
      const team = teams[shard];
      const count = Math.min(jobs, rushLanes);
      for (let i = 0; team && i < count; i++) {
        const rushing = rush(team)
          .catch(onError)
          .finally(() => team.rushes.delete(rushing));
        team.rushes.add(rushing);
      }
    },
    async stop() {
      stop().catch(onError);
    },
    close: stop,
  };
}

const asError = (error: unknown): Error =>
  error instanceof Error ? error : new Error(String(error));
