import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { createConfigCheck } from '@millrace/shared/config';
import { giveUp, onSignals, reportReady } from '@millrace/shared/runtime/lifecycle';
import { beginRole, joinRedis } from '@millrace/shared/runtime/role';
import { remade } from '@millrace/shared/runtime/remade';
import { publishControlPlane } from '@millrace/shared/store/control-plane';
import { createRedisApiKeys } from '@millrace/shared/store/api-keys/redis-api-keys';
import { startPresence } from '@millrace/shared/store/fleet/presence';
import { createRedisFleet } from '@millrace/shared/store/fleet/redis-fleet';
import { sendKill } from '@millrace/shared/store/fleet/kill';
import { createRedisDebugQueue } from '@millrace/shared/store/debug-log/redis-debug-log';
import { createRedisReports } from '@millrace/shared/store/reports/redis-reports';
import { createRedisTargetHolds } from '@millrace/shared/store/target-holds/redis-target-holds';
import { createRedisInquiries } from '@millrace/shared/store/inquiries/redis-inquiries';
import type { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import { createTimedLog } from '@millrace/shared/store/stream-log/redis-timed-log';
import { readWaitingList } from '@millrace/shared/store/queue/waiting-list';
import { readQueueState } from '@millrace/shared/store/queue/queue-state';
import { orderReload, readProcessConfigs } from '@millrace/shared/store/process-configs';
import { createRedisLedger } from '@millrace/shared/store/ledger/redis-ledger';
import { createRedisBudgets } from '@millrace/shared/store/budgets/redis-budgets';
import { oldestWaiting, waitingEntries } from '@millrace/shared/store/ledger/waiting';
import { createRedisAttention } from '@millrace/shared/store/attention/redis-attention';
import { readRedisMemory } from '@millrace/shared/store/redis-memory';
import { startSettler } from './budgets/settler.ts';
import type { Settler } from './budgets/settler.ts';
import { configRoutes } from './api/config-routes.ts';
import { consoleRoutes } from './api/console-routes.ts';
import { requestOrders } from './api/request-orders.ts';
import { requestRoutes } from './api/request-routes.ts';
import { liveRoutes } from './api/live-routes.ts';
import { chaosRoutes } from './chaos/chaos-routes.ts';
import { debugRoutes } from './api/debug-routes.ts';
import { boardRoutes } from './api/bull-board.ts';
import { webhookRoutes } from './api/webhook-routes.ts';
import { attentionRoutes } from './api/attention-routes.ts';
import { createStateReader } from './attention/read-state.ts';
import { startAttention } from './attention/watch.ts';
import { recentRequests } from './ledger/recent.ts';
import { upstreamRoutes } from './api/upstream-routes.ts';
import { buildApp } from './app.ts';
import { knownPrice } from '@millrace/shared/cost/known-prices';
import { keyAccount } from '@millrace/shared/store/quota/port';
import { createRedisLeases } from '@millrace/shared/store/quota/redis-leases';
import { createPrices } from '@millrace/shared/cost/prices';
import { startDebugLog } from './debug/debug-log.ts';
import { openDatabase } from './database/open.ts';
import { createRedisAuditQueue } from '@millrace/shared/store/audit/redis-audit-queue';
import { startAudit } from './audit/audit.ts';
import { startLedger } from './ledger/ledger.ts';
import type { Ledger } from './ledger/ledger.ts';
import { createRequestLogs } from './live/request-log.ts';
import { createLiveSamples } from './live/sample.ts';
import { reachableUrl } from './listen.ts';
import { pause } from './pause.ts';

/* config → Redis → ledger → app → listen → drain */

/** Milliseconds for the last commands to Redis. */
const lastCommandsMs = 1000;
/** Milliseconds for each step of the stop: a database or a client that does not answer must not prevent it. */
const stepMs = 3000;

const role = beginRole({ role: 'admin', argv: process.argv.slice(2), env: process.env });
const { config, source, name, logger, lifecycle } = role;
const store = await joinRedis(role);
const { redis, keys, log, audit, onError, isReady, connectBlocking, connectSubscriber, leave } =
  store;

const prices = remade(
  () => source.current,
  (current) => createPrices(current, knownPrice),
);
const ledger: Ledger | undefined =
  config.database &&
  startLedger({
    database: openDatabase(config.database.url, onError),
    queue: createRedisLedger({
      redis,
      keys,
      shards: config.shards,
      consumer: name,
      connect: connectBlocking,
      onDamaged: (entryId, error) =>
        logger.error({ entryId, err: error }, 'a ledger entry cannot be read: it is removed'),
    }),
    log,
    prices: (...asked) => prices()(...asked),
    shards: config.shards,
    retentionMs: config.database.retentionMs,
    onStored: (entries) => settler?.stored(entries),
    keepFrom: () => settler?.countsFrom() ?? Infinity,
    logRetentionMs: config.retentionMs,
    onRejected: ({ id }, error) =>
      logger.error({ id, err: error }, 'the database rejects a ledger entry: it is removed'),
    onError,
  });

const auditLog =
  ledger &&
  config.database &&
  startAudit({
    database: ledger.database,
    ready: () => ledger.ready(),
    queue: createRedisAuditQueue({
      redis,
      keys,
      consumer: name,
      connect: connectBlocking,
      onDamaged: (entryId, error) =>
        logger.error({ entryId, err: error }, 'an audit entry cannot be read: it is removed'),
    }),
    refusedRetentionMs: config.database.retentionMs,
    retentionMs: config.database.auditRetentionMs,
    onRejected: (entry, error) =>
      logger.error({ audit: entry, err: error }, 'the database rejects an audit entry'),
    onError,
  });

const debugLog =
  config.debugLog &&
  startDebugLog({
    config: config.debugLog,
    queue: createRedisDebugQueue({
      redis,
      keys,
      consumer: name,
      connect: connectBlocking,
      onDamaged: (entryId, error) =>
        logger.error({ entryId, err: error }, 'a debug record cannot be read: it is removed'),
    }),
    onError,
  });

const token = randomBytes(24).toString('base64url');
const apiKeys = createRedisApiKeys({
  redis,
  keys,
  connect: connectSubscriber,
  onDamaged: (field, error) => logger.error({ field, err: error }, 'an API key cannot be read'),
  onError,
});
const budgets = createRedisBudgets({ redis, keys });
const settler: Settler | undefined =
  ledger &&
  startSettler({
    budgets,
    database: ledger.database,
    ready: () => ledger.ready(),
    budgeted: async () => {
      const all = [...(config.keys ?? []), ...(await apiKeys.read()).keys];
      return new Set(all.filter(({ budget }) => budget !== undefined).map(({ id }) => id));
    },
    log,
    waiting: (shard) => waitingEntries(redis, keys, shard),
    problem: () => ledger.consumer.problem,
    onError,
  });
source.onChange(() => () => settler?.changed());
const fleet = createRedisFleet({ redis, keys });
const reports = createRedisReports({ redis, keys });
const holds = createRedisTargetHolds(redis, keys);
const queue = () => readQueueState(redis, keys, config.shards);
const processConfigs = () => readProcessConfigs(redis, keys);
const webhooks = config.webhooks && (await openWebhooks(config.webhooks));
const attention = startAttention({
  read: createStateReader({
    config: () => source.current,
    fleet,
    queue,
    reports,
    holds,
    configs: processConfigs,
    memory: () => readRedisMemory(redis),
    ledger: ledger && {
      backlog: () => ledger.backlog(),
      problem: () => ledger.consumer.problem,
      oldestAt: () => oldestWaiting(redis, keys, config.shards),
      recent: (from) => recentRequests(ledger.database, from),
    },
    webhooks: webhooks && (() => webhooks.state()),
    budgets,
    async keys() {
      const created = (await apiKeys.read()).keys;
      return [...(source.current.keys ?? []), ...created.filter(({ revokedAt }) => !revokedAt)];
    },
  }),
  store: createRedisAttention({ redis, keys, owner: name }),
  announce: async (alert) => webhooks?.announce(alert),
  isReady,
  onError,
});
const inquiries = createRedisInquiries({ redis, keys, processes: () => fleet.list() });
let bullQueue: Promise<ReturnType<typeof createBullQueue>> | undefined;
const timedLog = createTimedLog({ redis, keys });
const leases = createRedisLeases({ redis, keys });
const sample = createLiveSamples({
  inquiries,
  readWaiting: (limit) => readWaitingList({ redis, keys, shards: config.shards }, limit),
});
const app = buildApp({
  ledger: ledger &&
    auditLog && {
      ...ledger,
      auditBacklog: () => auditLog.backlog(),
      prices: (...asked) => prices()(...asked),
    },
  audit,
  token,
  fleet: {
    ...fleet,
    isReady,
    onError,
    queue,
    backlog: async () =>
      ledger && { ...(await ledger.backlog()), problem: ledger.consumer.problem ?? null },
    memory: () => readRedisMemory(redis).catch(() => undefined),
    shards: config.shards,
  },
  keys: {
    store: apiKeys,
    budgets: settler && { refresh: settler.refresh, read: budgets.read },
    isReady,
    get configured() {
      return config.keys ?? [];
    },
    get models() {
      return Object.keys(config.models);
    },
    onError,
  },
  addRoutes(to) {
    consoleRoutes(to);
    configRoutes(to, {
      config: () => source.current,
      check: createConfigCheck({
        argv: process.argv.slice(2),
        env: process.env,
        role: 'admin',
        inUse: role.textsInUse,
      }),
      processes: processConfigs,
      order: () => orderReload(redis, keys),
    });
    upstreamRoutes(to, {
      inquiries,
      reports: () => reports.readAll(),
      holds,
      get models() {
        return config.models;
      },
      isReady,
      onError,
    });
    webhookRoutes(to, { deliveries: webhooks?.deliveries, isReady, onError });
    attentionRoutes(to, { attention, isReady, onError });
    liveRoutes(to, { sample, isReady, onError });
    requestOrders(to, {
      log,
      timedLog,
      inquiries,
      release: (keyId, id) => leases.release(keyAccount(keyId), id),
      removeJob: async (id) => (await openBullQueue()).remove(id),
      isReady,
      onError,
    });
    requestRoutes(to, {
      ledger,
      describe: (id) => log.describe(id),
      logs: createRequestLogs(timedLog),
      timedLog,
      prices: (...asked) => prices()(...asked),
      retentionMs: config.retentionMs,
      isReady,
      onError,
    });
    debugRoutes(to, debugLog);
    chaosRoutes(to, {
      config: () => source.current,
      processes: () => fleet.list(),
      kill: (worker, request) => sendKill(redis, keys, worker, request),
      isReady,
      onError,
    });
    boardRoutes(to, {
      queues: async () => (await openBullQueue()).board,
      mode: config.board,
      audit,
    });
  },
  onError,
});
const { host } = config.listen;
await app
  .listen({ host: host === 'localhost' ? '127.0.0.1' : host, port: config.adminPort })
  .catch((error: Error) =>
    giveUp(`cannot listen: ${error.message}; choose another port with --admin-port`),
  );
const { port } = app.server.address() as AddressInfo;
const url = reachableUrl(host, port);
const published = await publishControlPlane(redis, keys, { controlPlane: { url, token }, onError });

const presence = startPresence({
  fleet,
  name,
  role: 'admin',
  lifecycle,
  counts: () => ({}),
  onOrder() {},
  onError,
});

onSignals({
  log: logger,
  onDrain: async () => {
    lifecycle.advance('draining');
    const step = (work: Promise<unknown>) => Promise.race([work.catch(onError), pause(stepMs)]);
    await step(Promise.all([published.stop(), presence.leave(), attention.stop()]));
    if (webhooks) await step(webhooks.stop());
    const closed = app.close();
    // A client that takes a long list slowly gets no more of it.
    const cut = setTimeout(() => app.server.closeAllConnections(), stepMs / 3);
    await Promise.all([step(closed), step(stopDatabase()), debugLog && step(debugLog.stop())]);
    clearTimeout(cut);
    await leave(lastCommandsMs);
    lifecycle.advance('stopped');
    process.exit(0);
  },
});

/** The queues of all shards. BullMQ is loaded with the first use of them. */
function openBullQueue() {
  bullQueue ??= import('@millrace/shared/store/queue/bullmq-queue').then((bull) => {
    const { shards, retentionMs } = config;
    return bull.createBullQueue({ redis, keys, shards, retentionMs, onError });
  });
  return bullQueue;
}

/** undici and BullMQ's worker are loaded only where webhooks are sent. */
async function openWebhooks(settings: NonNullable<typeof config.webhooks>) {
  const [{ startWebhooks }, { createBullDeliveries }, { createRedisEndedJobs }] = await Promise.all(
    [
      import('./webhooks/webhooks.ts'),
      import('@millrace/shared/store/queue/bullmq-deliveries'),
      import('@millrace/shared/store/webhooks/redis-ended-jobs'),
    ],
  );
  return startWebhooks({
    config: settings,
    endedJobs: createRedisEndedJobs({
      redis,
      keys,
      shards: config.shards,
      consumer: name,
      connect: connectBlocking,
      onDamaged: (entryId, error) =>
        logger.error({ entryId, err: error }, 'the end of a job cannot be read: it is removed'),
    }),
    deliveries: (attempt) => createBullDeliveries({ redis, keys, attempt, onError }),
    shards: config.shards,
    retentionMs: config.retentionMs,
    onError,
  });
}

async function stopDatabase(): Promise<void> {
  // All three use the database, which the ledger closes last.
  const auditStopped = auditLog?.stop();
  await ledger?.stop(async () => {
    await Promise.all([auditStopped, settler?.stop()]);
  });
}

lifecycle.advance('serving');
role.followConfig();
reportReady(url);
