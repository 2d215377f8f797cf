// The console's web page (apps/admin/console): Vite builds it, whenever its sources have changed.

import { createHash } from 'node:crypto';
import {
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';
import { withLock } from './lock.mjs';
import { SetupError, run, say } from './process.mjs';

/** What the built page was made from; beside the page. */
const stampName = 'built-from';
/** Bytes from which a compressed copy of a file is worth a second file. */
const compressFrom = 1024;

/**
 * @param {string} root  the clone
 * @param {string} lockPath
 * @param {AbortSignal} signal
 */
export async function ensureConsole(root, lockPath, signal) {
  const source = join(root, 'apps', 'admin', 'console');
  const dist = join(source, 'dist');
  const fingerprint = fingerprintOf(root, source);
  const isBuilt = () => readText(join(dist, stampName)) === fingerprint;
  if (isBuilt()) return;
  await withLock(lockPath, signal, async () => {
    // Another set-up may have been first.
    if (isBuilt()) return;
    say('building the console');
    const draft = join(source, `dist.${process.pid}`);
    const outdated = join(source, `dist.${process.pid}.old`);
    try {
      await build(root, source, draft, signal);
      compress(draft);
      writeFileSync(join(draft, stampName), fingerprint);
      // A control plane that runs finds the old files or the new ones, but for an instant.
      if (existsSync(dist)) renameSync(dist, outdated);
      renameSync(draft, dist);
    } finally {
      rmSync(outdated, { recursive: true, force: true });
      rmSync(draft, { recursive: true, force: true });
    }
  });
}

async function build(root, source, draft, signal) {
  const own = join(root, 'node_modules', '.bin', 'node');
  // The image is built without it.
  const node = existsSync(own) ? own : process.execPath;
  const vite = join(root, 'node_modules', 'vite', 'bin', 'vite.js');
  const args = [vite, 'build', source, '--outDir', draft, '--logLevel', 'warn'];
  const code = await run('building the console', node, args, {
    cwd: root,
    env: process.env,
    signal,
  });
  if (code !== 0) {
    throw new SetupError(`the console could not be built (vite ended with exit code ${code})`);
  }
}

/** Changes with every source of the page and with every package. */
function fingerprintOf(root, source) {
  const hash = createHash('sha256');
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((name) => !/^dist\b|\.test\.ts$/.test(name))
    .map((name) => join(source, name))
    .filter((path) => statSync(path).isFile());
  for (const path of [...files.sort(), join(root, 'package-lock.json')]) {
    const content = readFileSync(path);
    hash.update(`${path.slice(root.length)} ${content.length}\n`).update(content);
  }
  return hash.digest('hex');
}

/** The server sends the compressed copies as they are. */
function compress(folder) {
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const path = join(folder, name);
    if (!statSync(path).isFile() || statSync(path).size < compressFrom) continue;
    const content = readFileSync(path);
    const params = {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
    };
    writeFileSync(`${path}.br`, brotliCompressSync(content, { params }));
  }
}

const readText = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);
