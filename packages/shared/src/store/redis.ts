import { Redis, type RedisOptions } from 'ioredis';
import type { Bound } from '../runtime/bounds.ts';
import { parseRedisUrl, redactUrl, type RedisAddress } from '../config/redis-url.ts';
import { redisFailure } from './redis-failure.ts';

export { parseRedisUrl, redactUrl, unixSocketUrl } from '../config/redis-url.ts';
export type { Redis } from 'ioredis';

export type ConnectionRole =
  /** Ordinary commands; never a blocking one, which would delay all others. */
  | 'command'
  /** Only (P/S)SUBSCRIBE, by the caller on each `ready` event: a new connection has no subscriptions. */
  | 'subscriber'
  /** Commands that may be lost: without a connection they are rejected, in flight or not, and never sent again. */
  | 'best-effort'
  /** One blocking read after the other. Close it with disconnect(): quit() waits behind the read. */
  | 'blocking';

export type ConnectionOptions = {
  /** Seen in CLIENT LIST: letters, digits and `-_.:`. */
  readonly name: string;
  readonly role: ConnectionRole;
  /** For `blocking`: the longest BLOCK that will be used. It makes a dead network detectable. */
  readonly longestBlockMs?: number;
  /** Called for every lost connection and failed attempt; only for logging. */
  readonly onError?: (error: Error) => void;
};

/**
 * Milliseconds without a reply, while a command waits, after which the connection counts as dead and is
 * replaced.
 */
const silenceMs = 15_000;
const connectTimeoutMs = 5000;
/** Milliseconds between two pings of a subscriber, which waits for no other reply. */
const pingMs = 5000;
/** Milliseconds before a Redis that is loading its data is tried again. */
const loadingRetryMs = 100;

/**
 * A connection that always reconnects: during an outage commands wait, and commands in flight when the
 * connection broke are sent again, so they may run twice (except for `best-effort`). Suitable for BullMQ.
 *
 * Throws on an invalid URL. Never causes an unhandled rejection or `error` event: `onError` gets each error.
 *
 * It uses RESP2, because with ioredis' RESP3 the replies of `call('XREAD', …)` and `xread(…)` differ in form,
 * and BullMQ is tested with RESP2.
 */
export function connectRedis(url: string, options: ConnectionOptions): Redis {
  const { name, role, longestBlockMs, onError } = options;
  const redis = new Redis({
    ...addressOptions(url),
    ...socketTimeout(role, longestBlockMs),
    connectionName: name,
    protocol: 2,
    maxRetriesPerRequest: null,
    enableReadyCheck: true,
    maxLoadingRetryTime: loadingRetryMs,
    connectTimeout: connectTimeoutMs,
    noDelay: true,
    keepAlive: 10_000,
    retryStrategy: retryDelayMs,
    // After a failover the old primary is a replica: find the new one; the caller decides whether to repeat
    // the command.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    // Subscribers subscribe on each `ready`. ioredis' own attempt would be the same command a second time, and its
    // rejection, if the connection is closed meanwhile, cannot be handled.
    autoResubscribe: false,
    // With 0 ioredis rejects commands in flight; `autoResendUnfulfilledCommands: false` would leave them pending.
    ...(role === 'best-effort' && { enableOfflineQueue: false, maxRetriesPerRequest: 0 }),
  });
  redis.on('error', (error: Error) => onError?.(error));
  if (role === 'subscriber') keepAsking(redis);
  return redis;
}

/** 50 ms, doubling to 1 s, the upper half of it random, so that a fleet does not reconnect all at once. */
export function retryDelayMs(attempt: number): number {
  const delay = Math.min(50 * 2 ** Math.min(attempt - 1, 10), 1000);
  return Math.round(delay * (0.5 + Math.random() / 2));
}

function socketTimeout(role: ConnectionRole, longestBlockMs: number | undefined): RedisOptions {
  if (role !== 'blocking') return { socketTimeout: silenceMs };
  return longestBlockMs === undefined ? {} : { socketTimeout: longestBlockMs + silenceMs };
}

function keepAsking(redis: Redis): void {
  const timer = setInterval(() => {
    if (redis.status === 'ready') redis.ping().catch(() => undefined); // reported by 'error'
  }, pingMs);
  timer.unref();
  redis.once('end', () => clearInterval(timer));
}

function addressOptions(url: string): RedisOptions {
  const address = parseRedisUrl(url);
  if (!address) throw new Error('not a Redis URL');
  const { username, password, db } = address;
  return {
    ...('path' in address ? { path: address.path } : { host: address.host, port: address.port }),
    ...tlsOptions(address),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    db,
  };
}

function tlsOptions(address: RedisAddress): RedisOptions {
  if ('path' in address || !address.tls) return {};
  // Without a servername ioredis' TLS socket sends none, and certificates by name do not match.
  const isName = /[a-z]/i.test(address.host) && !address.host.includes(':');
  return { tls: isName ? { servername: address.host } : {} };
}

/** This Redis cannot be used, and a retry would not help: the reason is one sentence. */
export class RedisRefused extends Error {
  override readonly name = 'RedisRefused';
}

export type RedisFacts = {
  readonly server: 'redis' | 'valkey';
  readonly version: string;
  /** Facts that could not be checked, one sentence each. */
  readonly warnings: readonly string[];
};

/** Requires version 7.0 or newer and maxmemory-policy noeviction; otherwise throws RedisRefused. */
export async function checkRedis(redis: Redis): Promise<RedisFacts> {
  const server = await readInfo(redis, 'server');
  const memory = await readInfo(redis, 'memory');
  const isValkey = server.has('valkey_version');
  const version = server.get('valkey_version') ?? server.get('redis_version') ?? '';
  const kind = isValkey ? 'valkey' : 'redis';
  const policy = memory.get('maxmemory_policy');
  if (version !== '' && Number.parseInt(version, 10) < 7) {
    throw new RedisRefused(`Redis or Valkey 7.0 or newer is needed; this is ${kind} ${version}`);
  }
  if (policy !== undefined && policy !== 'noeviction') {
    throw new RedisRefused(
      `maxmemory-policy must be noeviction, or Redis drops requests under memory pressure; it is ${policy}`,
    );
  }
  const warnings = [
    ...(version === ''
      ? ['its version could not be read (INFO server): 7.0 or newer is needed']
      : []),
    ...(policy === undefined
      ? ['its maxmemory-policy could not be read (INFO memory): it must be noeviction']
      : []),
  ];
  return { server: kind, version, warnings };
}

/** The fields of a section of INFO; none if the user has no right to it. */
export async function readInfo(redis: Redis, section: string): Promise<Map<string, string>> {
  const text = await redis.info(section).catch((error: unknown) => {
    // Replies of the server, not a lost connection: NOPERM by ACL, ERR if INFO was renamed.
    if (error instanceof Error && /^(NOPERM|ERR unknown command)/i.test(error.message)) return '';
    throw error;
  });
  const lines = text.split('\r\n').map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1)];
  });
  return new Map(lines.filter(([name]) => name !== ''));
}

/** No usable Redis answers at this URL: the message is one sentence, without the password. */
export class RedisUnreachable extends Error {
  override readonly name = 'RedisUnreachable';
}

/**
 * Connects once, logs in, and checks that Redis answers and can be used (checkRedis). Rejects with
 * RedisUnreachable or RedisRefused; waits for a Redis that is still loading its data.
 */
export async function probeRedis(url: string, options: { timeoutMs: number }): Promise<RedisFacts> {
  try {
    return await withRedis(url, options, checkRedis);
  } catch (error) {
    if (!(error instanceof RedisRefused)) throw error;
    throw new RedisRefused(`${redactUrl(url)}: ${error.message}`);
  }
}

/**
 * Connects once, does this work, and disconnects. Rejects with RedisUnreachable if that fails or takes too long, except
 * for a RedisRefused of the work itself.
 */
export async function withRedis<T>(
  url: string,
  { timeoutMs }: { timeoutMs: number },
  work: (redis: Redis) => Promise<T>,
): Promise<T> {
  if (!parseRedisUrl(url)) throw new RedisUnreachable('the Redis URL cannot be read');
  let lastError: Error | undefined;
  const redis = new Redis({
    ...addressOptions(url),
    protocol: 2,
    lazyConnect: true,
    retryStrategy: null,
    connectTimeout: timeoutMs,
    // ioredis' default would keep a process that only asks once alive for two seconds more.
    disconnectTimeout: 50,
    maxLoadingRetryTime: loadingRetryMs,
    maxRetriesPerRequest: null,
  });
  redis.on('error', (error: Error) => {
    lastError = error;
  });
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('ETIMEDOUT')), timeoutMs);
  });
  try {
    return await Promise.race([redis.connect().then(() => work(redis)), timeout]);
  } catch (error) {
    if (error instanceof RedisRefused) throw error;
    const cause =
      error instanceof Error && error.message === 'ETIMEDOUT' ? error : (lastError ?? error);
    const reason = redisFailure(cause, url, timeoutMs);
    throw new RedisUnreachable(`${redactUrl(url)}: ${reason}`, { cause });
  } finally {
    clearTimeout(timer);
    redis.disconnect();
  }
}

/** Commands that wait for a reply or for the connection: each belongs to a waiting caller. */
export const commandsBound = (redis: Redis): Bound => {
  // ioredis does not expose its offline queue.
  const offline = () => (Reflect.get(redis, 'offlineQueue') as { length: number }).length;
  return {
    what: 'redis_commands',
    unit: 'entries',
    limit: 'none',
    max: Infinity,
    read: () => redis.commandQueue.length + offline(),
  };
};
