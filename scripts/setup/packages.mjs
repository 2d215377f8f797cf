// The packages of package-lock.json, and with them Node >= 24 (the npm package `node`).

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { basename, delimiter, join, sep } from 'node:path';
import { withLock } from './lock.mjs';
import { SetupError, run, say } from './process.mjs';

const NODE_MAJOR = 24;

/**
 * @param {string} root  the clone
 * @param {string} lockPath
 * @param {AbortSignal} signal
 * @throws {SetupError} when the packages cannot be installed
 */
export async function ensurePackages(root, lockPath, signal) {
  if (!existsSync(lockPath) && isReady(root)) return;
  await withLock(lockPath, signal, async () => {
    if (isReady(root)) return;
    if (!packagesMatch(root)) {
      say('installing the packages of package-lock.json, Node among them (npm ci)');
      const started = Date.now();
      await npmCi(root, signal);
      say(`packages installed in ${((Date.now() - started) / 1000).toFixed(1)} s`);
    }
    ensureNode(root);
  });
}

const isReady = (root) => packagesMatch(root) && major(nodeBinary(root)) >= NODE_MAJOR;
const nodeBinary = (root) => join(root, 'node_modules', '.bin', 'node');

/**
 * Whether node_modules holds what the lock file asks for. npm keeps its own account of what it put
 * there, written last, so an interrupted installation does not match. Packages of other platforms
 * are absent by right.
 */
function packagesMatch(root) {
  const wanted = readPackages(join(root, 'package-lock.json'));
  if (wanted === undefined) throw new SetupError(`no readable package-lock.json in ${root}`);
  const present = readPackages(join(root, 'node_modules', '.package-lock.json'));
  if (present === undefined) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.includes('node_modules/')) return true;
    const found = present[path];
    if (found === undefined) return entry.optional === true || entry.peer === true;
    return found.version === entry.version && found.integrity === entry.integrity;
  });
}

/** @returns {Record<string, { version?: string, integrity?: string, optional?: boolean, peer?: boolean }> | undefined} */
function readPackages(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

async function npmCi(root, signal) {
  const { command, args, env } = npm(root);
  // Node itself is a development dependency, so NODE_ENV=production must not leave those out. Errors
  // only: npm runs on the machine's Node here and would warn of every package that needs a newer one.
  const flags = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const options = { cwd: root, env, signal };
  const code = await run('installing packages', command, [...args, ...flags], options);
  if (code === 127) throw new SetupError(`npm could not be started (${command}): is it on PATH?`);
  if (code !== 0) {
    throw new SetupError(
      `npm ci failed with exit code ${code}; the reason is in its output above. ` +
        'It needs the npm registry (a network, or a proxy or mirror in .npmrc) and a disk with room. ' +
        'Start again once that is settled: nothing half-installed is used.',
    );
  }
}

/**
 * npm and the Node under it, from outside node_modules: `npm ci` begins by removing that folder, and
 * must not remove the Node that runs it.
 */
function npm(root) {
  const modules = join(root, 'node_modules') + sep;
  const outside = (path) => path !== undefined && !path.startsWith(modules) && existsSync(path);
  const path = (process.env.PATH ?? '').split(delimiter);
  const env = {
    ...process.env,
    PATH: path.filter((folder) => !join(folder, sep).startsWith(modules)).join(delimiter),
  };
  const { npm_node_execpath: node, npm_execpath: cli } = process.env;
  if (outside(node) && outside(cli) && basename(cli) === 'npm-cli.js') {
    return { command: node, args: [cli], env };
  }
  return { command: 'npm', args: [], env };
}

/**
 * The binary of the npm package may be missing (`npm --ignore-scripts`) or not made for this system (musl).
 * The Node that runs this script replaces it, if it is new enough.
 */
function ensureNode(root) {
  const binary = nodeBinary(root);
  if (major(binary) >= NODE_MAJOR) return;
  if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR) {
    mkdirSync(join(root, 'node_modules', '.bin'), { recursive: true });
    rmSync(binary, { force: true });
    symlinkSync(process.execPath, binary);
    if (major(binary) >= NODE_MAJOR) return;
  }
  throw new SetupError(
    `Node ${NODE_MAJOR} or newer is needed; this machine has ${process.version}, and the one that the ` +
      'npm package `node` brings does not work here. If npm ignores install scripts (ignore-scripts in ' +
      'an .npmrc), run `npm rebuild node --ignore-scripts=false`; else install Node from ' +
      'https://nodejs.org and start again.',
  );
}

/** @returns {number} the major version of a Node binary; 0 when it does not run */
function major(binary) {
  const { status, stdout } = spawnSync(binary, ['-v'], { encoding: 'utf8', timeout: 10_000 });
  return status === 0 ? Number.parseInt(stdout.slice(1), 10) : 0;
}
