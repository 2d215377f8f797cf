import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { startSimulator } from '../../apps/simulator/src/index.ts';
import type { Simulator } from '../../apps/simulator/src/index.ts';
import { allOrNone } from './all-or-none.ts';
import { spawnChild } from './child.ts';
import type { Release } from './previous-release.ts';
import { startRedis } from './redis.ts';
import type { TestRedis } from './redis.ts';
import { programOf, root } from './roles.ts';
import type { RoleName } from './roles.ts';

/** One role of Millrace as a real child process. */
export type RoleProcess = {
  readonly child: ChildProcess;
  /** The URL of an ingress. */
  readonly url: string;
  /** Its standard error so far. */
  readonly stderr: () => string;
  /** Sends the signal and waits for the end; the exit code, or null if a signal killed it. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
};

export type FleetOptions = {
  workers?: number;
  ingresses?: number;
  /** Config fields beside models, as in the file; its providers are added to the simulated ones. */
  config?: Record<string, unknown>;
  /**
   * Breakers and active checks with the config's defaults. Without them, a test that makes a target fail
   * repeatedly finds it asked each time.
   */
  health?: boolean;
  /** Aliases; a text is one target at the primary simulator. */
  models?: Record<string, unknown>;
  redisArgs?: readonly string[];
  /** Node's own flags, for ingresses. */
  ingressFlags?: readonly string[];
  /** Starts a control plane, too, with a ledger in SQLite. */
  admin?: boolean;
  /** `ulimit -n` of each role; the machine's own without it. */
  descriptors?: number;
  /** Of the first processes; the code of this checkout without it. */
  release?: Release | undefined;
};

/** Redis, two simulated providers, workers and ingresses: all real, all ended with the fleet. */
export type Fleet = {
  readonly redis: TestRedis;
  readonly primary: Simulator;
  readonly backup: Simulator;
  readonly ingresses: RoleProcess[];
  readonly workers: RoleProcess[];
  readonly admins: RoleProcess[];
  /** The URL of the first ingress. */
  readonly url: string;
  /** What processes that are started from now on run; undefined: the code of this checkout. */
  release: Release | undefined;
  /** The config of all processes but replaced ingresses. */
  readonly configFile: string;
  /** `redisUrl`: another URL of the same Redis. `preload`: a module of the harness that is loaded first. */
  addWorker(redisUrl?: string, preload?: string): Promise<RoleProcess>;
  addIngress(redisUrl?: string): Promise<RoleProcess>;
  addAdmin(): Promise<RoleProcess>;
  /**
   * Kills the ingresses and starts one, or `count`, with these sections of the config instead of the fleet's own: for tests
   * that differ in what their ingress is allowed, and share everything else.
   */
  replaceIngress(
    sections?: Record<string, unknown>,
    options?: { count?: number; redisUrl?: string },
  ): Promise<RoleProcess>;
  /** Kills the running workers. */
  killWorkers(): Promise<void>;
  /** Changes sections of the config. Processes that run take over what needs no restart, within two seconds. */
  reconfigure(sections: Record<string, unknown>): Promise<void>;
  /** The simulated providers end their slow answers at once, and all later ones until they are reset. */
  hurry(): void;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

/**
 * Rejects if one of them does not start, after ending the others.
 *
 * Providers of the config: `primary` and `backup`, and the same simulators in other formats as `primary-anthropic`,
 * `primary-responses` and so on. Any model of the simulator can be an alias's target.
 */
export async function startFleet(options: FleetOptions = {}): Promise<Fleet> {
  const {
    workers = 1,
    ingresses = 1,
    config = {},
    models = {},
    redisArgs = [],
    ingressFlags = [],
    health = false,
    admin = false,
    descriptors,
    release,
  } = options;
  const [redis, primary, backup] = await allOrNone<[TestRedis, Simulator, Simulator]>(
    [
      startRedis(redisArgs),
      startSimulator({ name: 'primary' }),
      startSimulator({ name: 'backup' }),
    ],
    (started) => started.close(),
  );
  const dir = await mkdtemp(join(tmpdir(), 'millrace-fleet-'));
  const file = join(dir, 'millrace.yaml');
  const content: Record<string, unknown> = {
    models: Object.fromEntries(
      Object.entries(models).map(([alias, model]) => [alias, toModel(model)]),
    ),
    ...(admin && { database: { url: 'sqlite:ledger.db' } }),
    ...config,
    providers: {
      ...providersAt('primary', primary, health),
      ...providersAt('backup', backup, health),
      ...(config['providers'] as Record<string, unknown> | undefined),
    },
  };
  const start = (role: RoleName, redisUrl = redis.url, flags = noFlags, ownFile = file) => {
    const port = role === 'ingress' ? ['--port', '0'] : [];
    return startRole(role, ['--config', ownFile, ...port], {
      redisUrl,
      flags,
      descriptors,
      release: fleet.release,
    });
  };
  let replaced = 0;
  const fleet: Fleet = {
    redis,
    primary,
    backup,
    ingresses: [],
    workers: [],
    admins: [],
    configFile: file,
    release,
    get url() {
      return fleet.ingresses[0]?.url ?? '';
    },
    async addWorker(redisUrl = redis.url, preload) {
      const first =
        preload === undefined ? noFlags : ['--import', new URL(preload, import.meta.url).href];
      const worker = await start('worker', redisUrl, first);
      fleet.workers.push(worker);
      return worker;
    },
    async addIngress(redisUrl = redis.url) {
      const ingress = await start('ingress', redisUrl, ingressFlags);
      fleet.ingresses.push(ingress);
      return ingress;
    },
    async addAdmin() {
      const one = await start('admin');
      fleet.admins.push(one);
      return one;
    },
    async replaceIngress(sections = {}, { count = 1, redisUrl = redis.url } = {}) {
      await Promise.all(fleet.ingresses.splice(0).map((ingress) => ingress.stop('SIGKILL')));
      const own = join(dir, `ingress-${(replaced += 1)}.yaml`);
      await writeFile(own, stringify({ ...content, ...sections }));
      const started = await allOrNone<RoleProcess[]>(
        Array.from({ length: count }, () => start('ingress', redisUrl, ingressFlags, own)),
        (ingress) => ingress.stop('SIGKILL'),
      );
      fleet.ingresses.push(...started);
      return started[0] as RoleProcess;
    },
    async killWorkers() {
      await Promise.all(fleet.workers.splice(0).map((worker) => worker.stop('SIGKILL')));
    },
    async reconfigure(sections) {
      Object.assign(content, sections);
      await writeFile(file, stringify(content));
    },
    hurry() {
      primary.hurry();
      backup.hurry();
    },
    async close() {
      const roles = [...fleet.ingresses, ...fleet.workers, ...fleet.admins];
      await Promise.all(roles.map((role) => role.stop('SIGKILL')));
      await Promise.all([redis.close(), primary.close(), backup.close()]);
      await rm(dir, { recursive: true, force: true });
    },
    [Symbol.asyncDispose]: () => fleet.close(),
  };
  try {
    await writeFile(file, stringify(content));
    await allOrNone<RoleProcess[]>(
      [
        ...Array.from({ length: workers }, () => fleet.addWorker()),
        ...Array.from({ length: ingresses }, () => fleet.addIngress()),
        ...(admin ? [fleet.addAdmin()] : []),
      ],
      (role) => role.stop('SIGKILL'),
    );
  } catch (error) {
    await fleet.close();
    throw error;
  }
  return fleet;
}

const providersAt = (name: string, { url }: Simulator, health: boolean) => {
  const care = {
    simulated: true,
    ...(!health && { breaker: { enabled: false }, check: { kind: 'off' } }),
  };
  return {
    [name]: { api: 'openai', baseUrl: `${url}/v1`, ...care },
    [`${name}-anthropic`]: { api: 'anthropic', baseUrl: url, ...care },
    [`${name}-gemini`]: { api: 'gemini', baseUrl: url, ...care },
    [`${name}-completions`]: {
      api: 'openai',
      baseUrl: `${url}/v1`,
      completions: true,
      ...care,
    },
    [`${name}-responses`]: { api: 'openai-responses', baseUrl: `${url}/v1`, ...care },
  };
};

const toModel = (model: unknown): unknown =>
  typeof model === 'string' ? { targets: [{ provider: 'primary', model }] } : model;

const noFlags: readonly string[] = [];

type RoleOptions = {
  redisUrl: string;
  flags: readonly string[];
  descriptors: number | undefined;
  release: Release | undefined;
};

async function startRole(
  role: RoleName,
  args: string[],
  { redisUrl, flags, descriptors, release }: RoleOptions,
): Promise<RoleProcess> {
  const ownFlags = process.env['VITEST'] === undefined ? process.execArgv : noFlags;
  const node = [process.execPath, ...ownFlags, ...flags];
  // A shell sets the limit and then executes Node in its place.
  const limited = `ulimit -n ${descriptors}; exec "${node.join('" "')}" "$0" "$@"`;
  const [command = '', ...before] = descriptors === undefined ? node : ['/bin/sh', '-c', limited];
  const child = spawnChild({
    name: role,
    command,
    args: [...before, (release?.programOf ?? programOf)(role), ...args],
    cwd: release?.root ?? root,
    env: { ...process.env, REDIS_URL: redisUrl, LOG_LEVEL: process.env['LOG_LEVEL'] ?? 'warn' },
    ipc: true,
    ignore: ['stdout'],
  });
  const { url = '' } = await child.message<Ready>(({ type }) => type === 'ready');
  return { child: child.process, url, stderr: () => child.stderr, stop: child.stop };
}

type Ready = { type?: string; url?: string };
