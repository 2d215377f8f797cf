import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { giveUp, onSignals, reportReady } from '@millrace/shared/runtime/lifecycle';
import { beginRole, joinRedis } from '@millrace/shared/runtime/role';
import { publishControlPlane } from '@millrace/shared/store/control-plane';
import { createRedisLedger } from '@millrace/shared/store/ledger/redis-ledger';
import { buildApp } from './app.ts';
import { createPrices } from './cost/prices.ts';
import { migrate, openDatabase } from './database/open.ts';
import { startConsumer } from './ledger/consumer.ts';
import { startRetention } from './ledger/retention.ts';
import { storeEntries } from './ledger/store.ts';
import { reachableUrl } from './listen.ts';

/* config → Redis → database → ledger consumer → app → listen → drain */

/** Milliseconds for the last commands to Redis. */
const lastCommandsMs = 1000;

const role = beginRole({ role: 'admin', argv: process.argv.slice(2), env: process.env });
const { config, name, logger, lifecycle } = role;
const store = await joinRedis(role);
const { redis, keys, onError, connectBlocking, leave } = store;

const database = config.database && openDatabase(config.database.url, onError);
const prices = createPrices(config);
const queue = createRedisLedger({
  redis,
  keys,
  shards: config.shards,
  consumer: name,
  connect: connectBlocking,
  onDamaged: (place, error) => logger.error({ place, err: error }, 'a ledger entry cannot be read'),
});
let isMigrated = false;
const consumer =
  database &&
  startConsumer({
    queue,
    shards: config.shards,
    async store(entries) {
      // Not at the start: a database that is away must not keep this process from serving.
      if (!isMigrated) await migrate(database);
      isMigrated = true;
      await storeEntries(database, entries, prices);
    },
    onError,
  });
const retention =
  database && startRetention({ database, retentionMs: config.database?.retentionMs, onError });

const token = randomBytes(24).toString('base64url');
const app = buildApp({ database, token, onError });
const { host } = config.listen;
await app
  .listen({ host: host === 'localhost' ? '127.0.0.1' : host, port: config.adminPort })
  .catch((error: Error) => giveUp(`cannot listen: ${error.message}`));
const { port } = app.server.address() as AddressInfo;
const url = reachableUrl(host, port);
const published = publishControlPlane(redis, keys, { controlPlane: { url, token }, onError });

onSignals({
  log: logger,
  onDrain: async () => {
    lifecycle.advance('draining');
    await published.stop().catch(onError);
    await app.close();
    retention?.stop();
    await consumer?.stop();
    queue.close();
    await database?.destroy();
    await leave(lastCommandsMs);
    lifecycle.advance('stopped');
    process.exit(0);
  },
});

lifecycle.advance('serving');
reportReady(url);
