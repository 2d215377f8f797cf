import { builtInProviders } from '@millrace/shared/config';
import type { Config, StartOptions } from '@millrace/shared/config';
import type { Logger } from '@millrace/shared/logger';
import { probeRedis } from '@millrace/shared/redis';
import { readyLine, welcome } from './announce.ts';
import type { DataFolder } from './data-folder.ts';
import type { Fleet } from './fleet.ts';
import {
  embeddedRedisUrl,
  endStaleRedis,
  findRedisServer,
  lastWords,
  redisSpec,
} from './redis-server.ts';
import { simulatorSpec, writeSimulatedConfig } from './simulated.ts';
import { StartFailed, type ProcessSpec } from './supervise.ts';

/** The programs of the roles, relative to `root`, which is the working directory of all. */
export type Programs = {
  readonly root: string;
  readonly ingress: string;
  readonly worker: string;
  readonly simulator: string;
};

export type StartInput = {
  readonly config: Config;
  readonly options: StartOptions;
  readonly programs: Programs;
  readonly env: NodeJS.ProcessEnv;
  readonly fleet: Fleet;
  /** Taken when something is kept in it: the embedded Redis, or the simulated providers' config. */
  readonly openFolder: () => DataFolder;
  readonly log: Logger;
  readonly print: (text: string) => void;
};

/** A shared Redis has this long to answer. */
const sharedRedisMs = 5000;

/**
 * Brings everything up and prints `millrace ready` for each ingress.
 * Rejects with StartFailed, DataFolderRefused, RedisUnreachable, RedisRefused or FleetStopping;
 * what was started until then is left to the caller to stop.
 */
export async function start(input: StartInput): Promise<void> {
  const { config, options, print } = input;
  const needsFolder = config.redis.url === undefined || options.configFile === undefined;
  const folder = needsFolder ? input.openFolder() : undefined;
  const [redisUrl, simulatorUrls] = await Promise.all([
    config.redis.url === undefined
      ? startEmbeddedRedis(input, folder as DataFolder)
      : useSharedRedis(config.redis.url, input.log),
    startSimulators(input),
  ]);
  const configFile = options.configFile ?? (folder as DataFolder).simulatedConfig;
  if (options.configFile === undefined) writeSimulatedConfig(configFile);
  // A password must not be in a command line, which everybody on the machine can read.
  const env = { ...input.env, ...simulatorUrls, REDIS_URL: redisUrl };
  const workers = range(options.workers).map((index) =>
    input.fleet.add('worker', workerSpec(index, configFile, env, input)),
  );
  const ingresses = range(options.ingresses).map((index) =>
    input.fleet.add('ingress', ingressSpec(index, configFile, env, input)),
  );
  const workersReady = Promise.all(workers.map(({ firstReady }) => firstReady));
  const urls = await Promise.all(
    ingresses.map(async (ingress, index) => {
      const [url = urlOf(config, index)] = await Promise.all([ingress.firstReady, workersReady]);
      print(readyLine(url));
      return url;
    }),
  );
  if (options.configFile === undefined) print(welcome(urls[0] ?? '', configFile));
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

async function useSharedRedis(url: string, log: Logger): Promise<string> {
  const { warnings } = await probeRedis(url, { timeoutMs: sharedRedisMs });
  for (const warning of warnings) log.warn(`Redis: ${warning}`);
  return url;
}

/** Those that the config uses; the variables that say where they are. */
async function startSimulators(input: StartInput): Promise<Record<string, string>> {
  const { programs, env, fleet, options } = input;
  const urls = await Promise.all(
    options.simulated.map(async (name) => {
      const spec = simulatorSpec(name, { entry: programs.simulator, cwd: programs.root, env });
      return [builtInProviders[name] ?? '', (await fleet.add('provider', spec).firstReady) ?? ''];
    }),
  );
  return Object.fromEntries(urls) as Record<string, string>;
}

function workerSpec(
  index: number,
  configFile: string,
  env: NodeJS.ProcessEnv,
  { programs }: StartInput,
): ProcessSpec {
  return {
    name: `worker ${index + 1}`,
    command: () => [process.execPath, programs.worker, '--config', configFile],
    cwd: programs.root,
    env,
    readyWhen: { kind: 'message' },
  };
}

function ingressSpec(
  index: number,
  configFile: string,
  env: NodeJS.ProcessEnv,
  { config, programs }: StartInput,
): ProcessSpec {
  const { host, port } = config.listen;
  return {
    name: `ingress ${index + 1}`,
    command: (earlier) => {
      // A port that was chosen freely is kept over a restart: it has been announced.
      const free = earlier === undefined ? 0 : Number(new URL(earlier).port);
      const own = port === 0 ? free : port + index;
      const address = ['--port', String(own), '--host', host];
      return [process.execPath, programs.ingress, '--config', configFile, ...address];
    },
    cwd: programs.root,
    env,
    readyWhen: { kind: 'message' },
  };
}

/** For an ingress that does not say where it is. */
function urlOf({ listen }: Config, index: number): string {
  const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
  return `${listen.tls ? 'https' : 'http'}://${host}:${listen.port + index}`;
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
