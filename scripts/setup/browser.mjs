// A Chromium for the tests of the console: one that is there already, else the system's package. The tests that need it
// say so when there is none; nothing else does.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { withLock } from './lock.mjs';
import { run, say } from './process.mjs';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const elsewhere = ['/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'];

/** @returns {string | undefined} the path of a Chromium on this machine; `CHROMIUM` in the environment takes precedence */
export function findBrowser(env = process.env) {
  if (env.CHROMIUM) return env.CHROMIUM;
  const folders = (env.PATH ?? '').split(delimiter);
  const candidates = [
    ...names.flatMap((name) => folders.map((folder) => join(folder, name))),
    ...elsewhere,
  ];
  return candidates.find((path) => existsSync(path));
}

/**
 * Tries to install one where that needs no prompt (Debian and its relatives, as root).
 * @param {string} lockPath
 * @param {AbortSignal} signal
 */
export async function ensureBrowser(lockPath, signal) {
  if (findBrowser() !== undefined) return;
  await withLock(lockPath, signal, async () => {
    if (findBrowser() !== undefined) return;
    if (process.getuid?.() === 0 && isThere('apt-get')) {
      say('installing chromium with apt-get, for the tests of the console');
      const script =
        'export DEBIAN_FRONTEND=noninteractive; apt-get update -q; ' +
        'apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 chromium fonts-dejavu-core';
      await run('installing chromium', 'sh', ['-c', script], { env: process.env, signal });
    }
    if (findBrowser() === undefined) {
      say(
        'there is no Chromium: the tests of the console in a browser will be skipped (install chromium, or set CHROMIUM to its path)',
      );
    }
  });
}

const isThere = (tool) =>
  spawnSync('sh', ['-c', `command -v ${tool}`], { stdio: 'ignore' }).status === 0;
