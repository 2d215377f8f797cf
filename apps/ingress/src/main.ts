import type { AddressInfo, Socket } from 'node:net';
import { readRedisMemory } from '@millrace/shared/store/redis-memory';
import { createLeaseKeeper } from '@millrace/shared/store/quota/lease-keeper';
import { unconfirmedMs } from '@millrace/shared/store/budgets/port';
import { createRedisBudgets } from '@millrace/shared/store/budgets/redis-budgets';
import { createRedisLeases } from '@millrace/shared/store/quota/redis-leases';
import { createRedisWindows } from '@millrace/shared/store/quota/redis-windows';
import { loadPrices, loadedPrice } from '@millrace/shared/cost/loaded-prices';
import { createPrices } from '@millrace/shared/cost/prices';
import { remade } from '@millrace/shared/runtime/remade';
import { connectionRoom, readDescriptors } from '@millrace/shared/runtime/descriptors';
import { giveUp, onSignals, onWorkerEnded, reportReady } from '@millrace/shared/runtime/lifecycle';
import { watchLateLoop } from '@millrace/shared/runtime/loop-delay';
import { createRedisChannels } from '@millrace/shared/store/stream-log/redis-channels';
import { createRedisApiKeys } from '@millrace/shared/store/api-keys/redis-api-keys';
import { readQueueState } from '@millrace/shared/store/queue/queue-state';
import { readLedgerBacklog } from '@millrace/shared/store/ledger/redis-ledger';
import { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import { startSweeper } from '@millrace/shared/store/queue/sweeper';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import { startPresence } from '@millrace/shared/store/fleet/presence';
import type { Presence } from '@millrace/shared/store/fleet/presence';
import { createRedisFleet } from '@millrace/shared/store/fleet/redis-fleet';
import { findControlPlane } from '@millrace/shared/store/control-plane';
import { watchPause } from '@millrace/shared/store/queue/pause-watch';
import { createRedisRespondent } from '@millrace/shared/store/inquiries/redis-inquiries';
import { StoreSilent } from '@millrace/shared/store/outage';
import { readSessionSecret } from '@millrace/shared/store/session-secret';
import { createRedisReports } from '@millrace/shared/store/reports/redis-reports';
import { beginRole, joinRedis } from '@millrace/shared/runtime/role';
import { startTelemetry } from '@millrace/shared/telemetry/start';
import { createTracing } from './observe/tracing.ts';
import { patienceMs } from './store-timeout.ts';
import { awaitedWindows } from './admission/awaited-windows.ts';
import { createBudgetGate } from './admission/budgets.ts';
import { createExpectUse } from './admission/expected-use.ts';
import { createAdmissionController } from './admission/controller.ts';
import { createConnectionCounts } from './server/connection-counts.ts';
import { createTargetRates, waitMs } from './admission/expected-wait.ts';
import { followKeys } from './auth/follow-keys.ts';
import { createKeyRing } from './auth/key-ring.ts';
import { createKeyUsers } from './auth/key-users.ts';
import { createLoginThrottle } from './auth/login-throttle.ts';
import { createSessionKeys } from './auth/session-keys.ts';
import { createLoadMeter } from './admission/load-meter.ts';
import { createMemoryMeter } from './admission/memory-meter.ts';
import { createPriorityPolicy } from './admission/priority.ts';
import { buildApp } from './app.ts';
import { ingressBounds } from './bounds.ts';
import { createConnections } from './server/connections.ts';
import type { BodyBudget } from './server/limits.ts';
import { createHeartbeat } from './api/websocket/heartbeat.ts';
import { drainAnswers } from './server/drain.ts';
import { createJobViews } from './api/jobs/view.ts';
import { createKeyLimits } from './admission/quota.ts';
import { serveModel } from '@millrace/shared/domain/model-names';
import { createMetrics } from './observe/metrics.ts';
import { startOverloadMonitor } from './admission/overload-monitor.ts';
import { startReapers } from './membership/reapers.ts';
import { createReconciler } from './membership/reconcile.ts';
import { createRefusals } from './observe/refusals.ts';
import { createRefusedKeys } from './observe/refused-keys.ts';
import type { Refusal } from './observe/refusals.ts';
import { createRelay } from './delivery/relay.ts';
import { createQueuePositions } from './delivery/queue-position.ts';
import { createKeepAlive } from './delivery/sse-writer.ts';
import { createExchanges } from './exchange/exchange.ts';
import { isForDebugLog } from './exchange/debug-choice.ts';
import { createPreparer } from './exchange/prepare.ts';
import { createSubmitter } from './exchange/submit.ts';
import { listenProblem } from './server/listen-problem.ts';
import { createOperatorDrain } from './server/operator-drain.ts';
import { readTls } from './server/tls.ts';

/* config → adapters → app → listen → drain */

/** At the start the ingress warns if its file descriptors leave fewer connections than this. */
const fewConnections = 500;
/** Milliseconds for the last commands to Redis. */
const lastCommandsMs = 1000;
/** Milliseconds for the last spans. */
const lastTelemetryMs = 1000;

const role = beginRole({ role: 'ingress', argv: process.argv.slice(2), env: process.env });
const { config, source, name, logger, lifecycle } = role;
const { limits } = source;
const { shards, retentionMs } = config;
const telemetry = await startTelemetry({ config, env: process.env, role: 'ingress', name, logger });
const store = await joinRedis(role);
const { redis, keys, log, audit, lifetimeMs, bounds, onError, isReady } = store;
const { ping, connectSubscriber, whenReady, leave } = store;

const channels = createRedisChannels({
  keys,
  shards,
  redis,
  connect: connectSubscriber,
  onError,
});
const queue = createBullQueue({ redis, keys, shards, retentionMs, onError });
const relay = createRelay({
  log,
  onUnread: (id) => {
    log.unsubscribe(id, name).catch(onError);
  },
  onError,
});
const connections = createConnections(onError);
const operatorDrain = createOperatorDrain({
  delayMs: config.drainDelayMs,
  onRefusing: () => connections.drain(),
});
let receiveOrder: Presence['receive'] = () => {};
const respondent = createRedisRespondent({
  redis,
  keys,
  name,
  answer: (inquiry) => (inquiry.kind === 'readers' ? relay.look(inquiry.id) : undefined),
  onError,
});
const inbox = await channels.openInbox(name, {
  onFrame: (frame) => relay.onFrame(frame),
  onGap: () => relay.onGap(),
  onOrder: (order) => receiveOrder(order),
  onInquiry: respondent.receive,
});
const keepAlive = createKeepAlive(limits.keepAliveMs);
const heartbeat = createHeartbeat({
  pingMs: limits.socketPingMs,
  idleMs: limits.socketIdleMs,
  stallMs: limits.readerStallMs,
});
const connectionCounts = createConnectionCounts<Socket>(limits);
const room = connectionRoom(readDescriptors());
const bodies: BodyBudget = { held: 0 };
const fleet = createRedisFleet({ redis, keys });
const { readAll: reports } = createRedisReports({ redis, keys });
const keyRing = createKeyRing({ keys: config.keys, origins: config.listen.cors.origins });
const keyUsers = createKeyUsers(keyRing, onError);
// Before the first request: an ingress that does not know the keys must not serve.
const followedKeys = await followKeys({
  store: createRedisApiKeys({
    redis,
    keys,
    connect: connectSubscriber,
    onDamaged: (field, error) => logger.error({ field, err: error }, 'an API key cannot be read'),
    onError,
  }),
  ring: keyRing,
  users: keyUsers,
  isReady,
  onError,
});
const sessionKeys = createSessionKeys({
  async readSecret() {
    // The connection would queue the commands.
    if (!isReady()) throw new StoreSilent('Redis does not answer');
    return readSessionSecret(redis, keys);
  },
  onError,
});
if (config.admin) await sessionKeys.refreshRarely();
// A first request would wait for it. Keys that get a budget later load it by their first request.
if (keyRing.hasMoney) {
  await loadPrices(Object.values(config.models).flatMap(({ targets }) => targets))?.catch(onError);
}
const priorityPolicy = createPriorityPolicy(keyRing);
const meter = createLoadMeter({
  look: (now) => queue.stats(now),
  shards,
  weightOf: priorityPolicy.weightOf,
  onOverdue: (ids) => void endOverdue(ids),
  onError,
});
const queuePositions = createQueuePositions({
  queue,
  waitFor: (jobs) => waitMs(meter, jobs * shards),
  onError,
});
const overloadMonitor = startOverloadMonitor(limits);
const jobViews = createJobViews({
  log,
  queue,
  queuePositions,
  maxResultBytes: limits.responseBodyBytes,
});
const metrics = createMetrics({
  queueCounts: () => queue.counts(),
  pausedShards: () => queue.pausedShards(),
  load: () => meter.read(),
  workers: () => channels.countWorkers(),
  readers: () => relay.readers,
  connections: () => connectionCounts.size,
  fleet: {
    processes: () => fleet.list(),
    hasControlPlane: async () => (await findControlPlane(redis, keys)) !== undefined,
    oldestAt: async () => (await readQueueState(redis, keys, shards)).oldestAt,
    memory: () => readRedisMemory(redis),
    backlog: config.database && (() => readLedgerBacklog(redis, keys, shards)),
  },
  reports,
  source,
  bounds: [
    ...ingressBounds({
      limits,
      bodies,
      connections,
      connectionCounts,
      room,
      relay,
      heartbeat,
      overloadMonitor,
      jobViews,
      queuePositions,
      keepAlive,
      keyRing,
      // Both are made further down.
      keeper: {
        get size() {
          return keeper.size;
        },
      },
      submitter: {
        get cancelling() {
          return submitter.cancelling;
        },
      },
    }),
    ...bounds,
  ],
});
const countRefusal = createRefusals(metrics, logger);
const refusedKeys = createRefusedKeys({ audit, actor: name });
const refused = (refusal: Refusal): void => {
  countRefusal(refusal);
  refusedKeys.note(refusal);
};
const pauseWatch = watchPause({ pausedShards: () => queue.pausedShards(), logger });
if (room < fewConnections) {
  logger.warn({ connections: room }, 'few file descriptors are left for connections (ulimit -n)');
}
const leases = createRedisLeases({ redis, keys });
const keeper = createLeaseKeeper({
  leases,
  isReady,
  // A request cannot be queued without Redis: it waits for a slow one here as it does there, so that its limit is exact.
  patienceMs,
  async isOver(id) {
    const described = await reconciler.describe(id);
    return described === undefined || described.ended !== undefined;
  },
  onError,
});
const sharedWindows = createRedisWindows({ redis, keys });
const windows = awaitedWindows({ shared: sharedWindows, whenReady, onError });
const budgets = createBudgetGate({
  budgets: createRedisBudgets({
    redis,
    keys,
    unconfirmedMs: () => (config.budgets.onLedgerDown === 'closed' ? unconfirmedMs : undefined),
  }),
  expectUse: createExpectUse({ config: () => source.current, onError }),
  whenReady,
  onError,
});
const keyLimits = createKeyLimits({ keys: keyRing, windows, keeper, budgets, onError });
const memory = createMemoryMeter({
  measure: () => readRedisMemory(redis),
  get softLimit() {
    return limits.queueMemory / 100;
  },
  onError,
});
const admission = createAdmissionController({
  priorityPolicy,
  meter,
  memory,
  overloadMonitor,
  limits,
  targetRate: createTargetRates(() => config.models),
  onSending: () => reapers.wake(),
  onAdmitted() {
    metrics.admitted();
    reapers.wake();
  },
  onShed: (reason) => metrics.shed(reason),
});
const submit = createRedisSubmit({ redis, keys, lifetimeMs, retentionMs });
const submitter = createSubmitter({ submit, log, queue, admission, whenReady, onError });
const prices = remade(
  () => source.current,
  (current) => createPrices(current, loadedPrice),
);
const exchanges = createExchanges({
  config,
  prepare: createPreparer({
    config,
    admission,
    keyRing,
    debugs(keyId) {
      const isWatched = keyId !== undefined && keyRing.get(keyId)?.debug === true;
      return isForDebugLog(config.debugLog?.sample, isWatched, Math.random());
    },
    prices: (...asked) => prices()(...asked),
    inbox: name,
  }),
  submitter,
  keyLimits,
  relay,
  log,
  inbox: name,
  onHandedOver: () => metrics.handedOver(),
  onError,
});
const { isCreating } = submitter;
const lateLoop = watchLateLoop();
const reconciler = createReconciler({
  log,
  queue,
  relay,
  isCreating,
  onOverdue: () => metrics.shed('overdue'),
  lateLoop,
  onError,
});
const reapers = startReapers({
  redis,
  keys,
  shards,
  name,
  queue,
  log,
  metrics,
  logger,
  onError,
});
onWorkerEnded(reapers.lookNow);

const sweeper = startSweeper({
  redis,
  keys,
  shards,
  retentionMs: config.retentionMs,
  onError,
});

source.onChange((next) => () => {
  keyRing.configure(next.keys);
  // A key that is not in the config any more ends like a revoked one.
  keyUsers.check();
});

const app = await buildApp({
  services: {
    config,
    limits,
    log,
    queue,
    channels,
    relay,
    exchanges,
    loadPrices({ model, maxCost }) {
      if (maxCost === undefined) return undefined;
      const targets = serveModel(config.models, model)?.model.targets;
      return targets && loadPrices(targets)?.catch(onError);
    },
    submitter,
    admission,
    overloadMonitor,
    reconciler,
    queuePositions,
    jobViews,
    keepAlive,
    heartbeat,
    metrics,
    prices,
    tracing: telemetry && createTracing(telemetry, onError),
    findControlPlane: () => findControlPlane(redis, keys),
    processes: () => fleet.list(),
    keyRing,
    keyUsers,
    refused,
    sessionKeys,
    loginThrottle: createLoginThrottle(),
    audit,
    keyLimits,
    connections,
    connectionCounts,
    bodies,
    inbox: name,
    logger,
    leaving: () =>
      operatorDrain.isDraining || (lifecycle.stage !== 'starting' && lifecycle.stage !== 'serving'),
    draining: () => operatorDrain.isRefusing || lifecycle.draining.aborted,
    pingRedis: ping,
    onError,
  },
  room,
  tls: readTls(config.listen),
});

const { host, port } = config.listen;
// For `localhost` fastify opens a second server on ::1, without our bounds and our drain.
const address = host === 'localhost' ? '127.0.0.1' : host;
await app
  .listen({ host: address, port })
  .catch((error: NodeJS.ErrnoException) => giveUp(listenProblem(error, host, port)));
// The port that the system chose if the config says 0.
const { port: bound } = app.server.address() as AddressInfo;
const scheme = config.listen.tls ? 'https' : 'http';

const presence = startPresence({
  fleet,
  name,
  role: 'ingress',
  lifecycle,
  counts: () => ({ streams: relay.readers, connections: connectionCounts.size }),
  onOrder(order) {
    logger.warn({ order }, 'an order of an operator');
    operatorDrain.apply(order);
  },
  onError,
});
receiveOrder = presence.receive;

onSignals({
  log: logger,
  onDrain: async ({ withinMs = config.drainTimeoutMs }) => {
    lifecycle.advance('leaving');
    presence.changed();
    await drainAnswers({
      app,
      connections,
      sockets: connectionCounts.all,
      delayMs: config.drainDelayMs,
      onRefusing: () => lifecycle.advance('draining'),
      withinMs,
    });
    await app.close();
    reconciler.stop();
    lateLoop.close();
    pauseWatch.stop();
    keeper.close();
    meter.stop();
    overloadMonitor.stop();
    queuePositions.stop();
    keepAlive.close();
    heartbeat.close();
    followedKeys.stop();
    await inbox.close();
    await Promise.all([leave(lastCommandsMs, finishCommands), telemetry?.close(lastTelemetryMs)]);
    lifecycle.advance('stopped');
    process.exit(0);
  },
});

// After the signal handlers are in place: a signal may follow at once.
lifecycle.advance('serving');
role.followConfig();
reportReady(`${scheme}://${host.includes(':') ? `[${host}]` : host}:${bound}`);

/** Ends requests past their deadline: their readers get the error, and they leave the queue. */
async function endOverdue(ids: readonly string[]): Promise<void> {
  try {
    await Promise.all(ids.map((id) => reconciler.describe(id)));
    await queue.unwatchDeadlines(ids);
  } catch (error) {
    onError(error);
  }
}

/** Waits for the cancellations and hand-overs of the drain before the connection to Redis closes. */
async function finishCommands(): Promise<void> {
  await submitter.settled();
  await Promise.all([presence.leave(), refusedKeys.flush()]);
  sweeper.stop();
  await reapers.stop();
  await queue.close();
}
