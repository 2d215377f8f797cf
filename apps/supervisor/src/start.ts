import { builtInProviders } from '@millrace/shared/config/simulated-providers';
import type { Logger } from '@millrace/shared/runtime/logger';
import { readyLine, welcome } from './announce.ts';
import type { DataFolder } from './data-folder.ts';
import type { Fleet } from './fleet.ts';
import { environmentProviders } from './environment-providers.ts';
import { v8Flags } from './memory-profile.ts';
import {
  embeddedRedisUrl,
  endStaleRedis,
  findRedisServer,
  lastWords,
  redisSpec,
} from './redis-server.ts';
import { writeOwnConfig } from './own-config.ts';
import { probeSharedRedis } from './shared-redis.ts';
import { simulatorSpec } from './simulated.ts';
import type { StartSettings } from './start-settings.ts';
import { StartFailed, type ProcessSpec } from './supervise.ts';

/** The programs of the roles, relative to `root`, which is the working directory of all. */
export type Programs = {
  readonly root: string;
  readonly ingress: string;
  readonly worker: string;
  readonly simulator: string;
  /** Absent: no control plane is started. */
  readonly admin?: string;
};

export type StartInput = {
  readonly settings: StartSettings;
  readonly programs: Programs;
  readonly env: NodeJS.ProcessEnv;
  readonly fleet: Fleet;
  /** Opened only if it is needed: for the embedded Redis, or for the config of a start without one. */
  readonly openFolder: () => DataFolder;
  readonly log: Logger;
  readonly print: (text: string) => void;
};

/**
 * Starts all processes and prints `millrace ready` for each ingress. Rejects with StartFailed,
 * DataFolderRefused or FleetStopping; the caller then stops what was started.
 */
export async function start(input: StartInput): Promise<void> {
  const { settings, print } = input;
  const { options } = settings;
  const flags = v8Flags(input.programs.root, input.env);
  const needsFolder = settings.redisUrl === undefined || options.configFile === undefined;
  const folder = needsFolder ? input.openFolder() : undefined;
  const [redisUrl, simulatorUrls] = await Promise.all([
    settings.redisUrl === undefined
      ? startEmbeddedRedis(input, folder as DataFolder)
      : useSharedRedis(settings.redisUrl, input),
    startSimulators(input),
  ]);
  const configFile = options.configFile ?? (folder as DataFolder).ownConfig;
  const providers = environmentProviders(input.env);
  if (options.configFile === undefined) writeOwnConfig(configFile, providers);
  // A password must not be in a command line, which all users of the machine can read.
  const env = {
    ...input.env,
    ...simulatorUrls,
    REDIS_URL: redisUrl,
    // One port for all workers of a machine would be one too few.
    MILLRACE_HEALTH_PORT: '',
    ...databaseOf(settings, folder),
  };
  const workers = range(options.workers).map((index) =>
    input.fleet.add('worker', workerSpec(index, { flags, configFile, env }, input)),
  );
  const ingresses = range(options.ingresses).map((index) =>
    input.fleet.add('ingress', ingressSpec(index, { flags, configFile, env }, input)),
  );
  const workersReady = Promise.all(workers.map(({ firstReady }) => firstReady));
  const urls = await Promise.all(
    ingresses.map(async (ingress, index) => {
      const [url = urlOf(settings, index)] = await Promise.all([ingress.firstReady, workersReady]);
      print(readyLine(url));
      return url;
    }),
  );
  startControlPlane({ flags, configFile, env }, input);
  if (options.configFile === undefined) print(welcome(urls[0] ?? '', configFile, providers));
}

async function startEmbeddedRedis(input: StartInput, folder: DataFolder): Promise<string> {
  const server = await findRedisServer();
  if ((await endStaleRedis(folder)) === 'ended') {
    input.log.warn('ended the redis-server that an earlier start left behind');
  }
  const redis = input.fleet.add('redis', redisSpec(server, folder, input.env));
  await redis.firstReady.catch((error: unknown) => {
    if (!(error instanceof StartFailed)) throw error;
    throw new StartFailed(`${error.message}\n${lastWords(folder)}`.trim(), 1);
  });
  return embeddedRedisUrl(folder);
}

async function useSharedRedis(url: string, { env, log }: StartInput): Promise<string> {
  for (const warning of await probeSharedRedis(url, env)) log.warn(`Redis: ${warning}`);
  return url;
}

/** Starts the simulated providers that the config uses; returns the variables with their URLs. */
async function startSimulators(input: StartInput): Promise<Record<string, string>> {
  const { programs, env, fleet, settings } = input;
  const urls = await Promise.all(
    settings.options.simulated.map(async (name) => {
      const spec = simulatorSpec(name, { entry: programs.simulator, cwd: programs.root, env });
      return [builtInProviders[name] ?? '', (await fleet.add('provider', spec).firstReady) ?? ''];
    }),
  );
  return Object.fromEntries(urls) as Record<string, string>;
}

/** The common part of the command lines of ingresses and workers. */
type RoleCommand = { flags: readonly string[]; configFile: string; env: NodeJS.ProcessEnv };

function workerSpec(
  index: number,
  { flags, configFile, env }: RoleCommand,
  { programs }: StartInput,
): ProcessSpec {
  return {
    name: `worker ${index + 1}`,
    command: () => [process.execPath, ...flags, programs.worker, '--config', configFile],
    cwd: programs.root,
    env,
    readyWhen: { kind: 'message' },
  };
}

/** The database of the ledger: the configured one, else a file in the start's own folder, if it has one. */
function databaseOf(
  { databaseUrl, options }: StartSettings,
  folder: DataFolder | undefined,
): Record<string, string> {
  if (!options.keepsLedger) return { DATABASE_URL: 'none' };
  const url = databaseUrl ?? (folder && `sqlite:${folder.ledger}`);
  return url === undefined ? {} : { DATABASE_URL: url };
}

/** Beside the fleet, which serves without it: one that cannot start is logged and started again, and ends nothing. */
function startControlPlane({ configFile, env }: RoleCommand, input: StartInput): void {
  const { admin, root } = input.programs;
  if (admin === undefined) return;
  const spec: ProcessSpec = {
    name: 'admin',
    isOptional: true,
    command: () => [process.execPath, admin, '--config', configFile],
    cwd: root,
    env,
    readyWhen: { kind: 'message' },
  };
  input.fleet.add('admin', spec).firstReady.catch((error: unknown) => {
    if (error instanceof StartFailed) input.log.error(`no control plane: ${error.message}`);
  });
}

function ingressSpec(
  index: number,
  { flags, configFile, env }: RoleCommand,
  { settings, programs }: StartInput,
): ProcessSpec {
  const { host, port } = settings.listen;
  return {
    name: `ingress ${index + 1}`,
    command: (earlier) => {
      // A port that the system chose is kept over a restart, because it has been announced.
      const free = earlier === undefined ? 0 : Number(new URL(earlier).port);
      const own = port === 0 ? free : port + index;
      const address = ['--port', String(own), '--host', host];
      return [process.execPath, ...flags, programs.ingress, '--config', configFile, ...address];
    },
    cwd: programs.root,
    env,
    readyWhen: { kind: 'message' },
  };
}

/** The URL of an ingress that does not report one. */
function urlOf({ listen }: StartSettings, index: number): string {
  const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
  return `${listen.isTls ? 'https' : 'http'}://${host}:${listen.port + index}`;
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
