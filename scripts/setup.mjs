// Makes a fresh clone ready to run: packages, Node >= 24, and a Redis where one is needed.
//
//   setup.mjs [--redis | --embedded-redis] [--console] [--browser] [-- ARGUMENT...]
//
// --redis            a redis-server (or valkey-server) must be on this machine
// --embedded-redis   the same, unless the program's own arguments, which follow `--`, or its
//                    environment or config name a Redis that runs elsewhere
// --console          the console's web page must be built from the sources as they are
// --browser          the tests of the console want a Chromium
//
// Plain JavaScript without dependencies, for Node >= 20: it runs before anything is installed. With
// nothing to do it says nothing. Exit: 0 ready, 1 with one message that says what to do, 128 + n
// after signal n.

import { constants, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureBrowser } from './setup/browser.mjs';
import { ensureConsole } from './setup/console.mjs';
import { ensurePackages } from './setup/packages.mjs';
import { SetupError, say } from './setup/process.mjs';
import { ensureRedis, redisIsElsewhere } from './setup/redis.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const flags = new Set(['--redis', '--embedded-redis', '--console', '--browser']);

/** @param {string[]} argv */
function parse(argv) {
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length;
  const own = argv.slice(0, end);
  const unknown = own.find((flag) => !flags.has(flag));
  if (unknown !== undefined) throw new SetupError(`unknown set-up flag ${unknown}`);
  const programArguments = argv.slice(end + 1);
  const needsRedis =
    own.includes('--redis') ||
    (own.includes('--embedded-redis') && !redisIsElsewhere(programArguments, process.env));
  return {
    needsRedis,
    needsConsole: own.includes('--console'),
    needsBrowser: own.includes('--browser'),
  };
}

/**
 * An abort signal for all ways in which set-up may be stopped. If only the waiting shell is killed, nothing
 * would stop the installation, so a new parent counts as a signal.
 */
function stopSignal() {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.once(name, () => controller.abort(name));
  }
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) controller.abort('SIGHUP');
  }, 250).unref();
  return controller.signal;
}

const stop = stopSignal();
try {
  const { needsRedis, needsConsole, needsBrowser } = parse(process.argv.slice(2));
  await ensurePackages(root, join(root, '.millrace', 'setup.lock'), stop);
  if (needsConsole) await ensureConsole(root, join(root, '.millrace', 'setup.lock'), stop);
  // One lock for the whole machine, because package managers do not run concurrently, whichever clone starts
  // them.
  const systemLock = join(tmpdir(), 'millrace-redis-setup.lock');
  if (needsRedis) await ensureRedis(systemLock, stop);
  if (needsBrowser) await ensureBrowser(systemLock, stop);
} catch (error) {
  if (stop.aborted) {
    process.exitCode = 128 + constants.signals[stop.reason];
  } else if (error instanceof SetupError) {
    say(error.message);
    process.exitCode = 1;
  } else {
    throw error;
  }
}
