// One set-up at a time. The lock is a file that names its holder; a holder that died leaves it
// behind, so a lock is stale when its process is gone, or when no process has touched it for a while
// (a holder on another host or in another container, whose process ids mean nothing here).

import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SetupError, say } from './process.mjs';

const POLL_MS = 100;
const TOUCH_MS = 2_000;
const UNTOUCHED_MS = 30_000;
const WAIT_LIMIT_MS = 25 * 60_000;

/**
 * Runs `work` while holding the lock file at `path`.
 * @template T
 * @param {string} path
 * @param {AbortSignal} signal
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(path, signal, work) {
  mkdirSync(dirname(path), { recursive: true });
  await acquire(path, signal);
  const touch = setInterval(() => {
    const now = new Date();
    utimesSync(path, now, now);
  }, TOUCH_MS);
  try {
    return await work();
  } finally {
    clearInterval(touch);
    rmSync(path, { force: true });
  }
}

async function acquire(path, signal) {
  const started = Date.now();
  let said = false;
  while (!create(path)) {
    if (isStale(path)) {
      breakStale(path);
      continue;
    }
    if (!said) {
      said = true;
      say(`another set-up is at work here (process ${holder(path)?.pid ?? '?'}); waiting for it`);
    }
    if (Date.now() - started > WAIT_LIMIT_MS) {
      throw new SetupError(`gave up waiting for the other set-up; its lock is ${path}`);
    }
    await sleep(POLL_MS, undefined, { signal });
  }
}

/** @returns {boolean} whether the lock is ours now; creating the file is the atomic step */
function create(path) {
  try {
    const file = openSync(path, 'wx');
    writeFileSync(file, JSON.stringify({ pid: process.pid, host: hostname() }));
    closeSync(file);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

/** @returns {{ pid: number, host: string } | undefined} undefined while it is being written or gone */
function holder(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

function isStale(path) {
  const age = ageOf(path);
  if (age === undefined) return false;
  if (age > UNTOUCHED_MS) return true;
  const held = holder(path);
  return held !== undefined && held.host === hostname() && !isAlive(held.pid);
}

/** @returns {number | undefined} milliseconds since the file was touched; undefined when it is gone */
function ageOf(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat && Date.now() - stat.mtimeMs;
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/**
 * Removes a stale lock. Two waiters may both have found it stale, and the slower one must not remove
 * the fresh lock that the faster one made in its place: so looking again and removing are guarded.
 */
function breakStale(path) {
  const guard = `${path}.break`;
  if ((ageOf(guard) ?? 0) > UNTOUCHED_MS) rmSync(guard, { force: true });
  if (!create(guard)) return;
  try {
    if (isStale(path)) rmSync(path, { force: true });
  } finally {
    rmSync(guard, { force: true });
  }
}
