import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig, loadConfigOrExit } from '../config.ts';
import type { TextsInUse } from '../config.ts';
import { keyspace } from '../store/keys.ts';
import { createConfigSource } from './config-source.ts';
import type { ReloadCause } from './config-source.ts';
import { serveHealth } from './health-server.ts';
import { createLifecycle, exitOnBug, giveUp, onReload } from './lifecycle.ts';
import { packEnded } from '../store/stream-log/packing.ts';
import { createRedisLog } from '../store/stream-log/redis-log.ts';
import { createLogger, logBound } from './logger.ts';
import { withTimeout } from './timeout.ts';
import { watchOutage } from '../store/outage.ts';
import { commandsBound, connectRedis, probeRedis } from '../store/redis.ts';
import type { Redis } from '../store/redis.ts';
import { isConnectionClosed } from '../store/redis-failure.ts';
import { createAuditWriter } from '../store/audit/audit-writer.ts';
import { createConfigAudit } from '../store/audit/config-audit.ts';
import type { ConfigAudit } from '../store/audit/config-audit.ts';
import { reportConfig } from '../store/process-configs.ts';
import type { ConfigReporting } from '../store/process-configs.ts';
import { versionAtStart, watchFile } from './watch-file.ts';

/* Start and end of a process of the fleet, common to all roles. */

/** Milliseconds within which Redis has to answer at the start. */
const probeTimeoutMs = 5000;

/** Milliseconds within which Redis has to answer for `/readyz` of the health port. */
const healthPatienceMs = 1000;

export type Role = ReturnType<typeof beginRole>;

export type RoleOptions = {
  role: 'ingress' | 'worker' | 'admin';
  argv: readonly string[];
  env: Readonly<Record<string, string | undefined>>;
};

/**
 * The config, name, logger and lifecycle of a process. Ends the process with a message if the config is wrong.
 *
 * `config` always has the sections of the config in use. A part that is built from them once has to listen to
 * `source.onChange`, before `followConfig` begins to read the file again.
 */
export function beginRole(options: RoleOptions) {
  const first = loadConfigOrExit(options);
  const { configFile = '' } = first.options;
  const known = versionAtStart(configFile);
  const name = `${options.role}-${randomBytes(6).toString('hex')}`;
  const logger = createLogger({ name });
  exitOnBug(logger);
  const warn = (warnings: readonly string[]): void => {
    // Every process of a fleet reads the same file; only ingresses log its warnings.
    if (options.role === 'ingress') for (const warning of warnings) logger.warn(warning);
  };
  warn(first.warnings);
  const lifecycle = createLifecycle((stage) => logger.info({ stage }));
  let lastRead = first.text;
  let texts: TextsInUse = { started: first.text, current: first.text };
  const source = createConfigSource({
    started: first.config,
    load() {
      const { config, warnings, text } = loadConfig(options);
      lastRead = text;
      warn(warnings);
      return config;
    },
    logger,
  });
  let reporting: ConfigReporting | undefined;
  let auditing: ConfigAudit | undefined;
  let isFollowing = false;
  let asked: ReloadCause | undefined;

  function readConfig(cause: ReloadCause): void {
    if (!isFollowing) asked ??= cause;
    else if (!lifecycle.draining.aborted) {
      if (source.read(cause) !== 'refused') texts = { ...texts, current: lastRead };
      reporting?.changed();
      auditing?.changed(cause);
    }
  }

  onReload(readConfig);
  return {
    role: options.role,
    config: source.live,
    source,
    /** Of the config file in use. */
    textsInUse: () => texts,
    name,
    logger,
    lifecycle,
    readConfig,
    reportTo(reports: ConfigReporting, audit: ConfigAudit): void {
      reporting = reports;
      auditing = audit;
    },
    /** From now on the process reads its config again when the file has changed, or when it is asked to. */
    followConfig(): void {
      isFollowing = true;
      if (asked) readConfig(asked);
      const watch = watchFile({
        file: configFile,
        known,
        onChange: () => readConfig('file changed'),
      });
      lifecycle.draining.addEventListener('abort', watch.close, { once: true });
    },
  };
}

/** Connects to the fleet's Redis. Ends the process with a message if it cannot be used. */
export async function joinRedis(role: Role) {
  const { config, name, logger } = role;
  const url =
    config.redis.url ?? giveUp('no Redis is configured: set --redis URL, REDIS_URL or redis.url');
  const facts = await probeRedis(url, { timeoutMs: probeTimeoutMs }).catch((error: Error) =>
    giveUp(error.message),
  );
  for (const warning of facts.warnings) logger.warn(warning);

  /** The process has sent QUIT: later errors of the connection do not matter. */
  let hasLeft = false;
  const outage = watchOutage({ logger, isReady: () => isReady() });
  const onError = (error: unknown): void => {
    if (hasLeft && isConnectionClosed(error)) return;
    if (!outage.note(error)) logger.error({ err: error });
  };
  const redis = connectRedis(url, {
    name,
    role: 'command',
    onError: (error) => hasLeft || onError(error),
  });
  redis.on('close', () => hasLeft || outage.lost());
  redis.on('ready', outage.back);
  const keys = keyspace();
  const bestEffort: Redis[] = [];
  const longestRunMs = Math.max(0, ...Object.values(config.models).map((model) => model.timeoutMs));
  const lifetimeMs = config.limits.queueTtlMs + longestRunMs;
  const written = createRedisLog({
    redis,
    keys,
    retentionMs: config.retentionMs,
    lifetimeMs,
    hasLedger: config.database !== undefined,
  });
  const packing = packEnded(written, { onError });

  const reporting = reportConfig({
    redis,
    keys,
    process: { name, role: role.role },
    state: () => role.source.state,
    onOrder: () => role.readConfig('operator'),
    onError,
  });

  let comingBack: Promise<void> | undefined;
  const isReady = (): boolean => redis.status === 'ready';

  const audit = createAuditWriter({
    redis,
    keys,
    isKept: config.database !== undefined,
    isReady,
    logger,
  });
  const configAudit = createConfigAudit({ audit, actor: name, state: () => role.source.state });
  role.reportTo(reporting, configAudit);

  /** Resolves when the connection is ready; all callers share one listener. */
  function whenReady(): Promise<void> {
    if (isReady()) return Promise.resolve();
    comingBack ??= new Promise((resolve) => {
      redis.once('ready', () => {
        comingBack = undefined;
        resolve();
      });
    });
    return comingBack;
  }

  void whenReady().then(() => configAudit.changed('start'));

  /** Rejects if Redis does not answer, or refuses commands of this process. */
  async function ping(): Promise<void> {
    await redis.ping();
    if (outage.reason !== undefined) throw new Error(outage.reason);
  }

  async function whyNotReady(): Promise<readonly string[]> {
    const { stage } = role.lifecycle;
    if (stage !== 'serving') return [`this process is ${stage}`];
    if (!isReady()) return ['Redis is away'];
    const late = () => new Error(`Redis did not answer within ${healthPatienceMs} ms`);
    return withTimeout(ping(), healthPatienceMs, late).then(
      () => [],
      (error: Error) => [error.message],
    );
  }

  if (config.healthPort !== 0) {
    const { host } = config.listen;
    await serveHealth({ host, port: config.healthPort, whyNotReady }).catch((error: Error) =>
      giveUp(`cannot listen: ${error.message}; choose another port with --health-port`),
    );
  }

  return {
    redis,
    keys,
    log: packing.log,
    /** How long an unfinished request is kept. */
    lifetimeMs,
    audit,
    bounds: [commandsBound(redis), packing.bound, logBound(logger)],
    onError,
    isReady,
    ping,
    /** One more connection, for messages of channels. */
    connectSubscriber: () => connectRedis(url, { name, role: 'subscriber', onError }),

    /** One more connection, for commands that may be lost. `leave` closes it. */
    connectBestEffort(): Redis {
      const connection = connectRedis(url, {
        name,
        role: 'best-effort',
        onError: (error) => hasLeft || onError(error),
      });
      bestEffort.push(connection);
      return connection;
    },

    /** One more connection, for blocking reads of at most so many milliseconds. */
    connectBlocking: (longestBlockMs: number) =>
      connectRedis(url, { name, role: 'blocking', longestBlockMs, onError }),

    whenReady,

    /** Runs `lastWords` and disconnects; disconnects without them if they take longer than `withinMs`. */
    async leave(withinMs: number, lastWords?: () => Promise<void>): Promise<void> {
      packing.stop();
      configAudit.stop();
      const said = async (): Promise<void> => {
        await Promise.all([lastWords?.(), reporting.leave()]);
        hasLeft = true;
        // A command sent behind QUIT breaks the connection before its reply is read.
        await Promise.all([redis.quit(), ...bestEffort.map((one) => one.quit().catch(() => {}))]);
      };
      await Promise.race([said().catch(onError), sleep(withinMs)]);
    },
  };
}
