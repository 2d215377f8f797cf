import { ConfigError } from '@millrace/shared/config';
import type { Config, ProviderConfig } from '@millrace/shared/config';
import { loadedPrice } from '@millrace/shared/cost/loaded-prices';
import { createPrices } from '@millrace/shared/cost/prices';
import { remade } from '@millrace/shared/runtime/remade';
import {
  connectionRoom,
  connectionShare,
  readDescriptors,
} from '@millrace/shared/runtime/descriptors';
import { giveUp, onSignals, reportReady } from '@millrace/shared/runtime/lifecycle';
import { createRedisChannels } from '@millrace/shared/store/stream-log/redis-channels';
import { createRedisGossip } from '@millrace/shared/store/gossip/redis-gossip';
import { watchLateLoop, watchLoopDelay } from '@millrace/shared/runtime/loop-delay';
import { createLeaseKeeper } from '@millrace/shared/store/quota/lease-keeper';
import { lenientWindows } from '@millrace/shared/store/quota/lenient-windows';
import { createRedisLeases } from '@millrace/shared/store/quota/redis-leases';
import { createRedisWindows } from '@millrace/shared/store/quota/redis-windows';
import { startHeartbeat } from '@millrace/shared/store/membership/redis-heartbeat';
import { startPresence } from '@millrace/shared/store/fleet/presence';
import type { Presence } from '@millrace/shared/store/fleet/presence';
import { createRedisFleet } from '@millrace/shared/store/fleet/redis-fleet';
import { startBullConsumer } from '@millrace/shared/store/queue/bullmq-consumer';
import type { Inquiry, MoveAnswer, PoolsAnswer, RunsAnswer } from '@millrace/shared/domain/inquiry';
import type { JobConsumer } from '@millrace/shared/store/queue/port';
import { watchPause } from '@millrace/shared/store/queue/pause-watch';
import { createRecordShipper } from '@millrace/shared/store/debug-log/redis-debug-log';
import { createRedisTargetHolds } from '@millrace/shared/store/target-holds/redis-target-holds';
import { createRedisReports } from '@millrace/shared/store/reports/redis-reports';
import { createRedisRespondent } from '@millrace/shared/store/inquiries/redis-inquiries';
import { startReporting } from '@millrace/shared/store/reports/reporting';
import { beginRole, joinRedis } from '@millrace/shared/runtime/role';
import { startTelemetry } from '@millrace/shared/telemetry/start';
import { createQuotaSettlement } from './quota/settlement.ts';
import { createAppender } from './run/appender.ts';
import { createGathering } from './coalescing/gathering.ts';
import { createCoalescingWindow } from './coalescing/window.ts';
import { workerBounds } from './observe/bounds.ts';
import { drain, lastWordsMs } from './intake/drain.ts';
import { createIntake } from './intake/intake.ts';
import { publicIntake } from './intake/public-view.ts';
import { createMetrics } from './observe/metrics.ts';
import { traceRuns } from './observe/trace.ts';
import { watchOrphans } from './intake/orphans.ts';
import { run } from './run/run.ts';
import { logRuns } from './run/run-logging.ts';
import { createRuns } from './run/runs.ts';
import { createProcessStats } from './observe/process-stats.ts';
import { createFaultLog } from './upstream/fault-log.ts';
import { createHedgeBudget } from './upstream/hedge-budget.ts';
import { createPools } from './upstream/pool/pools.ts';
import { createDebugLog, heldRecords } from './debug/call-recorder.ts';
import { followHolds } from './upstream/health/holds.ts';
import { createUpstreams, namedProviders } from './upstream/upstreams.ts';
import { warmUp } from './intake/warm-up.ts';

/* config → adapters → consumer → drain */

/** Redis connections per shard: the consumer's, for its commands and for its blocking read. */
const connectionsPerShard = 2;

/** Milliseconds for the last spans and metrics. */
const lastTelemetryMs = 1000;

/** The most frequent reading of the config for requests of unknown models, in milliseconds. */
const lookForConfigMs = 5000;

const role = beginRole({ role: 'worker', argv: process.argv.slice(2), env: process.env });
const { config, source, name, logger, lifecycle } = role;
const { limits } = source;
const { shards } = config;
const telemetry = await startTelemetry({ config, env: process.env, role: 'worker', name, logger });
const coalescing = createCoalescingWindow(config.delivery.coalesce);
const gathering = createGathering(coalescing);
const pools = openPools();
const joined = await joinRedis(role);
const { redis, keys, log, lifetimeMs, bounds, onError, isReady, connectSubscriber, leave } = joined;
// Connections open while the rest of the start continues, so the first request finds them ready.
pools.warm(namedProviders(config.models));
// The warm-up runs before this worker is registered, and before it measures the delay of its event loop.
await warmUp({ keys }).catch(onError);
// Before the first request: a worker that does not know them would ask these targets.
const holds = await followHolds({ store: createRedisTargetHolds(redis, keys), onError });
const shipper = config.debugLog && createRecordShipper({ redis: joined.connectBestEffort(), keys });
const debugLog = shipper && createDebugLog({ shipper, worker: name });
let lookedForConfigAt = -Infinity;
let checkLocks = (): void => {};
let receive: JobConsumer['receive'] = () => {};
let onBeat: JobConsumer['onBeat'] = () => {};
let onGap = (): void => {};
// While this process was blocked, other workers may have taken its jobs.
const loop = watchLateLoop({ onLate: () => checkLocks() });
const loopDelay = watchLoopDelay();
const appender = createAppender({
  log,
  maxHeldBytes: limits.appendBufferBytes,
  onAppended: coalescing.appended,
  onError,
});
const runs = createRuns();
const hedges = createHedgeBudget();
const windows = lenientWindows({ shared: createRedisWindows({ redis, keys }), isReady, onError });
const intake = createIntake({
  ceiling: limits.workerConcurrency,
  log,
  loop: loopDelay,
  onChange: (isAtRest) => (isAtRest ? loop.rest() : loop.resume()),
  availabilityOf: (model) => upstreams.availabilityOf(model),
  maxWaitMsOf: (model) => config.models[model]?.maxWaitMs ?? 0,
  now: Date.now,
});
const upstreams = createUpstreams({
  models: config.models,
  providers: config.providers,
  limits,
  pools,
  worker: name,
  fleet: createRedisGossip({
    keys,
    owner: name,
    redis,
    connect: connectSubscriber,
    onError,
  }),
  holds,
  debugLog,
  windows,
  waitLimits: intake.waitLimits,
  onChange({ target, from, to, byThisWorker, fault }) {
    if (!byThisWorker) return;
    // Changes between the other states recur with every probe and would flood the log during an outage.
    const level = from === 'closed' || to === 'closed' ? 'warn' : 'debug';
    // Without the provider's message, which may repeat a request; /admin/upstreams has it.
    const { code, httpStatus } = (to === 'closed' ? undefined : fault) ?? {};
    const reason = code === undefined ? undefined : { code, httpStatus };
    logger[level]({ ...target, from, to, reason }, 'the breaker of a target');
  },
  onCheck({ fault, ...what }) {
    if (fault) {
      const { code, message, httpStatus } = fault;
      logger.warn({ ...what, reason: { code, message, httpStatus } }, 'a health check fails');
    } else logger.warn(what, 'a health check succeeds again');
  },
  wasLate: loop.wasLate,
  onAside: ({ provider, index, status, forMs }) =>
    logger.warn({ provider, index, status, forMs }, 'a key of a provider is set aside'),
  onKept: (target) => metrics.addNames({ targets: [target] }),
  onFault: createFaultLog({ logger, now: Date.now }),
  propagates: telemetry?.propagate ?? false,
  namesRequests: config.chaos,
  onError,
});
const keeper = createLeaseKeeper({ leases: createRedisLeases({ redis, keys }), isReady, onError });
const traceRun = telemetry && traceRuns(telemetry, upstreams.providerOf, onError);
const metrics = createMetrics({
  upstreams: upstreams.sources,
  intake: intake.snapshot,
  coalescing,
  source,
  worker: name,
  ...namesOf(config),
  bounds: workerBounds({
    limits,
    appender,
    intake: intake.snapshot,
    held: () => runs.held(),
    promptBlocks: upstreams.promptBlocks,
    keeper,
    others: debugLog ? [...bounds, heldRecords(debugLog, shipper.counts)] : bounds,
  }),
});
const prices = remade(
  () => source.current,
  (current) => createPrices(current, loadedPrice),
);
const settlement = createQuotaSettlement({ windows, keeper, onError });
const orphans = watchOrphans({
  log,
  graceMs: limits.ownerGraceMs,
  attached: () => runs.attached(),
  onError,
});

const channels = createRedisChannels({
  keys,
  shards,
  redis,
  connect: connectSubscriber,
  onError,
});
let answerReport = (_question: string): void => {};
let receiveOrder: Presence['receive'] = () => {};
const respondent = createRedisRespondent({ redis, keys, name, answer: answerInquiry, onError });
const channel = await channels.openWorker(name, {
  onQuestion: (question) => answerReport(question),
  onOrder: (order) => receiveOrder(order),
  onInquiry: respondent.receive,
  onKill(request) {
    if (!config.chaos || (request !== undefined && !runs.ids().includes(request))) return;
    // As a crash: no drain, and no last word to Redis.
    process.kill(process.pid, 'SIGKILL');
  },
  onFinished: (id) => runs.stop(id, 'finished'),
  onJob: (shard, job) => receive(shard, job),
  onJobsWaiting: (shard, jobs) => intake.makeRoomFor(shard, jobs),
  // A gap may have lost the message that a request ended, and other workers may have taken over jobs
  // meanwhile.
  onGap: () => {
    onGap();
    checkLocks();
    for (const id of runs.ids()) {
      log.describe(id).then((described) => described?.ended && runs.stop(id, 'finished'), onError);
    }
  },
});

// A worker in the registry that does not listen counts as dead, and only registered workers may take jobs.
const registration = await startHeartbeat({
  redis,
  keys,
  shards,
  name,
  onBeat: (shard, known) => onBeat(shard, known),
  onError,
});
const consumer = startBullConsumer(
  {
    redis,
    keys,
    shards,
    name,
    concurrency: intake.places,
    lifetimeMs,
    workers: upstreams.workers,
    onError,
  },
  intake.admitting(
    logRuns({ log: logger, prices }, async (activation, onReport) => {
      hedges.earn();
      lookForConfigOf(activation.data);
      const { upstreams: own, end } = upstreams.begin(activation.data);
      return run(activation, {
        ...own,
        log,
        appender,
        worker: name,
        metrics,
        settlement,
        hasLedger: config.database !== undefined,
        maxHeldChars: limits.responseBodyBytes,
        maxLogChars: limits.streamLogBytes,
        mayHedge: hedges.take,
        returnHedge: hedges.giveBack,
        register: (job, control) => runs.register(job, control),
        timesLate: loop.times,
        onEnded(report) {
          metrics.runReported(report);
          onReport(report);
          traceRun?.(report);
        },
        onError,
        now: Date.now,
        random: Math.random,
      }).finally(end);
    }),
  ),
);
intake.attach(consumer);
const pauseWatch = watchPause({ pausedShards: () => consumer.pausedShards(), logger });
checkLocks = () => consumer.checkLocks();
({ receive, onBeat, onGap } = consumer);
const processStats = createProcessStats({
  loop: loopDelay,
  runs: () => consumer.held,
  pausedShards: pauseWatch.paused,
});
const reporting = startReporting({
  reports: createRedisReports({ redis, keys }),
  name,
  make: async () => ({
    at: Date.now(),
    metrics: await metrics.toJson(),
    sections: {
      process: processStats(),
      intake: publicIntake(intake.snapshot()),
      upstreams: upstreams.snapshot(),
    },
  }),
  onTrimmed: ({ bytes, without }) =>
    logger.warn(
      { bytes, without },
      'the report for /metrics and /admin is too large and was truncated',
    ),
  onError,
});
answerReport = reporting.answer;
const presence = startPresence({
  fleet: createRedisFleet({ redis, keys }),
  name,
  role: 'worker',
  lifecycle,
  counts: () => ({ runs: consumer.held, waiting: intake.snapshot().waiting }),
  onOrder(order) {
    logger.warn({ order }, 'an order of an operator');
    if (order === 'drain') intake.pause();
    else intake.resume();
  },
  onError,
});
receiveOrder = presence.receive;

onSignals({
  log: logger,
  onDrain: async ({ withinMs = config.drainTimeoutMs }) => {
    lifecycle.advance('draining');
    presence.changed();
    await drain({
      withinMs,
      consumer,
      runs,
      leave: () => Promise.all([registration.leave(), reporting.leave(), presence.leave()]),
      logger,
    });
    intake.close();
    pauseWatch.stop();
    orphans.stop();
    loop.close();
    keeper.close();
    await channel.close();
    upstreams.close();
    await Promise.all([leave(lastWordsMs), telemetry?.close(lastTelemetryMs)]);
    lifecycle.advance('stopped');
    process.exit(0);
  },
});

source.onChange((next) => {
  const apply = upstreams.prepare(next);
  return () => {
    apply();
    metrics.addNames(namesOf(next));
  };
});

// After the handlers are set: a signal may follow at once.
lifecycle.advance('serving');
role.followConfig();
reportReady();

/** What the control plane asks at the moment an operator looks. */
function answerInquiry(inquiry: Inquiry): RunsAnswer | MoveAnswer | PoolsAnswer | undefined {
  if (inquiry.kind === 'runs') return lookAtRuns();
  if (inquiry.kind === 'pools') return upstreams.lookAtPools();
  if (inquiry.kind !== 'move') return undefined;
  const { id, target } = inquiry;
  const moved = runs.find(id)?.move(target) ?? { kind: 'not_here' };
  if (moved.kind === 'moved') logger.warn({ id, target, from: moved.from }, 'an operator moves it');
  return moved;
}

function lookAtRuns(): RunsAnswer {
  const { places, running, models } = intake.snapshot();
  const skipped = Object.entries(models).filter(([, one]) => one.skipped);
  const why = (model: string) =>
    upstreams.availabilityOf(model) === 'broken' ? 'broken' : 'limited';
  return {
    ...runs.look(),
    slots: places,
    busy: running,
    skipped: Object.fromEntries(skipped.map(([model]) => [model, why(model)])),
  };
}

/** An ingress may have read a new config a moment before this worker. */
function lookForConfigOf(job: Parameters<typeof upstreams.knows>[0]): void {
  const now = performance.now();
  if (upstreams.knows(job) || now - lookedForConfigAt < lookForConfigMs) return;
  lookedForConfigAt = now;
  role.readConfig('unknown model');
}

function openPools() {
  try {
    return createPools(config.providers, {
      gathering,
      limited: withinDescriptors,
      onConnectFailure(provider, { code, message, detail = message }, losses) {
        if (losses === 1) logger.warn({ provider, code }, detail);
      },
    });
  } catch (error) {
    if (error instanceof ConfigError) giveUp(error.problems.join('\nmillrace: '));
    throw error;
  }
}

/**
 * A provider with its connections limited by the file descriptors that are available to each. A request
 * beyond that waits for a free connection, as it does at the configured limit.
 */
function withinDescriptors(
  provider: string,
  one: ProviderConfig,
  all: Config['providers'],
): ProviderConfig {
  const room = connectionRoom(readDescriptors(), connectionsPerShard * shards);
  const share = connectionShare(room, Object.keys(all).length);
  const { connections } = one.pool;
  if (connections <= share) return one;
  logger.warn(
    { provider, connections: share, configured: connections },
    'the limit of file descriptors (ulimit -n) leaves fewer connections to this provider',
  );
  return { ...one, pool: { ...one.pool, connections: share } };
}

/** The names that series may have as labels. */
function namesOf({ models }: Pick<Config, 'models'>) {
  const targets = Object.values(models).flatMap((model) => model.targets);
  return { targets, models: Object.keys(models) };
}
