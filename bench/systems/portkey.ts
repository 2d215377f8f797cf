import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startChild } from '../../test/kit/child.ts';
import { freePort } from '../ports.ts';
import { MODELS, type System } from './system.ts';

const VERSION = '1.15.2';
const FOLDER = fileURLToPath(new URL('../.peers/portkey', import.meta.url));
const PACKAGE = join(FOLDER, 'node_modules/@portkey-ai/gateway');
const SERVER = join(PACKAGE, 'build/start-server.js');
const INSTALL_MS = 120_000;

/**
 * Its version 1.15.2 passes a fetch Response to `new Response` as init. The copy shares the immutable headers
 * of the first one, current hono versions append to them, and every stream becomes a 500. The code around the
 * expression is minified, so this fix fits only this version.
 */
const BROKEN = ':new Response(p,e)}const ';
const MENDED = ':new Response(p,{status:e.status,headers:new Headers(e.headers)})}const ';

/** Starts the gateway, after installing it outside the project if it is not installed yet. */
export async function startPortkey(upstream: string, signal: AbortSignal): Promise<System> {
  const versions = await install(signal);
  const port = await freePort();
  const { pid, stop } = await startChild({
    name: 'portkey',
    command: process.execPath,
    args: [SERVER, `--port=${port}`, '--headless'],
    env: { ...process.env, NODE_ENV: 'production' },
    cwd: FOLDER,
    ready: /Ready for connections/,
    signal,
  });
  return {
    name: 'portkey',
    origin: `http://127.0.0.1:${port}`,
    pid,
    headers: { 'x-portkey-provider': 'openai', 'x-portkey-custom-host': `${upstream}/v1` },
    models: MODELS,
    versions,
    stop,
  };
}

async function install(signal: AbortSignal): Promise<Record<string, string>> {
  if ((await versionOf('@portkey-ai/gateway')) !== VERSION) {
    await mkdir(FOLDER, { recursive: true });
    await writeFile(join(FOLDER, 'package.json'), '{ "private": true }\n');
    await npmInstall(AbortSignal.any([signal, AbortSignal.timeout(INSTALL_MS)]));
  }
  const source = await readFile(SERVER, 'utf8');
  if (!source.includes(MENDED)) await writeFile(SERVER, mend(source));
  return {
    '@portkey-ai/gateway': `${VERSION}, mended`,
    hono: (await versionOf('hono')) ?? 'unknown',
  };
}

/** Replaces the expression; throws unless it occurs exactly once. */
export function mend(source: string): string {
  const parts = source.split(BROKEN);
  if (parts.length !== 2) {
    throw new Error(
      `@portkey-ai/gateway ${VERSION}: the expression to mend stands ${parts.length - 1} times ` +
        `in ${SERVER}, not once. Remove ${FOLDER} and run again.`,
    );
  }
  return parts.join(MENDED);
}

async function versionOf(name: string): Promise<string | undefined> {
  const file = join(FOLDER, 'node_modules', name, 'package.json');
  const text = await readFile(file, 'utf8').catch(() => '{}');
  return (JSON.parse(text) as { version?: string }).version;
}

/** A separate folder, so that neither our lock file nor our audit includes another project's dependencies. */
async function npmInstall(signal: AbortSignal): Promise<void> {
  process.stdout.write(`installing @portkey-ai/gateway ${VERSION} into ${FOLDER}\n`);
  const args = ['install', '--prefix', FOLDER, '--ignore-scripts', '--no-audit', '--no-fund'];
  const npm = spawn('npm', [...args, '--save-exact', `@portkey-ai/gateway@${VERSION}`], {
    cwd: FOLDER,
    env: withoutWorkspaces(process.env),
    stdio: ['ignore', 'ignore', 'inherit'],
    signal,
  });
  const [code] = await once(npm, 'exit', { signal });
  if (code !== 0) throw new Error(`npm install of @portkey-ai/gateway ended with code ${code}`);
}

/** Under `npm run` the environment makes an inner npm work on the outer project's workspaces. */
function withoutWorkspaces(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const outer = /^npm_config_(workspaces?|include_workspace_root|local_prefix|prefix)$/i;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !outer.test(name)));
}
