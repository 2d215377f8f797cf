// Finds a redis-server or valkey-server >= 7.0: on PATH, or installed by the system's package manager if that
// can work unattended; otherwise prints what to install.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withLock } from './lock.mjs';
import { SetupError, run, say } from './process.mjs';

const SERVERS = ['redis-server', 'valkey-server'];
const MAJOR = 7;

const here = dirname(fileURLToPath(import.meta.url));

/** In order of trial. The scripts install without starting a service. */
const INSTALLERS = [
  { tool: 'apt-get', asRoot: true, command: ['sh', join(here, 'redis-apt.sh')] },
  {
    tool: 'dnf',
    asRoot: true,
    command: ['sh', '-c', 'dnf install -y valkey || dnf install -y redis'],
  },
  { tool: 'apk', asRoot: true, command: ['sh', '-c', 'apk add redis || apk add valkey'] },
  { tool: 'brew', asRoot: false, command: ['brew', 'install', 'redis'] },
];

/**
 * Whether the program's arguments, environment or config file name a Redis that runs elsewhere.
 * The config file is only searched for a top-level `redis:`; reading it properly is the program's
 * business, and a wrong guess here costs no more than its message about the missing server.
 * @param {string[]} args
 * @param {Record<string, string | undefined>} env
 */
export function redisIsElsewhere(args, env) {
  if (flag(args, '--redis') || env.REDIS_URL) return true;
  const config = flag(args, '--config') || env.MILLRACE_CONFIG;
  if (!config) return false;
  try {
    return /^redis\s*:/m.test(readFileSync(config, 'utf8'));
  } catch {
    return false;
  }
}

function flag(args, name) {
  const at = args.findIndex((argument) => argument === name || argument.startsWith(`${name}=`));
  if (at === -1) return undefined;
  return args[at] === name ? args[at + 1] : args[at].slice(name.length + 1);
}

/**
 * @param {string} lockPath
 * @param {AbortSignal} signal
 * @throws {SetupError} when there is none and none can be installed
 */
export async function ensureRedis(lockPath, signal) {
  if (serversFound().some(isNewEnough)) return;
  await withLock(lockPath, signal, async () => {
    if (serversFound().some(isNewEnough)) return;
    const installer = usableInstaller();
    if (installer) {
      say(`installing a Redis server with ${installer.tool}; it will not be started as a service`);
      const [command, ...args] = installer.command;
      const code = await run('installing Redis', command, args, { env: process.env, signal });
      const found = serversFound().find(isNewEnough);
      if (found) return say(`${found.path} ${found.version} is ready`);
      say(`${installer.tool} did not bring one (exit code ${code}, its output is above)`);
    }
    throw new SetupError(whatToInstall(serversFound()));
  });
}

/** @returns {{ path: string, version: string }[]} the servers on PATH that run, in its order */
function serversFound() {
  const found = [];
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    for (const server of SERVERS) {
      const path = join(folder, server);
      if (!existsSync(path)) continue;
      const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8', timeout: 10_000 });
      const version = /\bv=(\d+\.\d+\.\d+)/.exec(stdout ?? '')?.[1];
      if (version) found.push({ path, version });
      if (version && isNewEnough({ version })) return found;
    }
  }
  return found;
}

const isNewEnough = ({ version }) => Number.parseInt(version, 10) >= MAJOR;

/** The first package manager of this machine that can install without a prompt. */
function usableInstaller() {
  const installer = INSTALLERS.find(({ tool }) => succeeds('sh', ['-c', `command -v ${tool}`]));
  if (!installer) return undefined;
  const isRoot = process.getuid?.() === 0;
  // Homebrew refuses to run as root.
  if (installer.asRoot === isRoot) return installer;
  if (!installer.asRoot || !succeeds('sudo', ['-n', 'true'])) return undefined;
  return { ...installer, command: ['sudo', '-n', ...installer.command] };
}

function succeeds(command, args) {
  return spawnSync(command, args, { stdio: 'ignore', timeout: 10_000 }).status === 0;
}

function whatToInstall(tooOld) {
  const old = tooOld.map(({ path, version }) => `${path} is ${version}. `).join('');
  return (
    `a redis-server or valkey-server, version ${MAJOR}.0 or newer, is needed on PATH. ${old}` +
    'Install one (Debian, Ubuntu: apt-get install redis-server; Fedora: dnf install valkey; ' +
    'Alpine: apk add redis; macOS: brew install redis; old distributions: https://redis.io/downloads/) ' +
    'and start again. `npm start` can also use one that runs elsewhere: npm start -- --redis redis://HOST:6379'
  );
}
