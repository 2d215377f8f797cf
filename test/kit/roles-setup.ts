import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { rolldown } from 'rolldown';
import type { Plugin } from 'rolldown';
import type { TestProject } from 'vitest/node';
import { aborted, spawnChild } from './child.ts';
import { startRedis } from './redis.ts';
import { bundleOf, bundleVariable, root } from './roles.ts';
import type { RoleName } from './roles.ts';

/*
 * vitest runs this once, before the first test: it bundles the ingress and the worker, each into one file. A
 * process of a test then reads one file and not 1,100, strips no types, and finds its code compiled. The
 * tests of the start itself (test/fault/start-problems, test/house, apps/supervisor) run the source, and
 * MILLRACE_TEST_SOURCE=1 makes all of them do so.
 */

const roles: readonly RoleName[] = ['ingress', 'worker', 'admin'];
const folder = join(root, 'node_modules/.cache/millrace-test-roles');

/** Milliseconds in which a role has to start on a slow machine, without a compile cache. */
const startMs = 60_000;
/** Milliseconds after which no test run uses a bundle of older sources any more. */
const outdatedMs = 2 * 3_600_000;

export default async function setup(project: TestProject): Promise<void> {
  if (process.env['MILLRACE_TEST_SOURCE'] === '1') return;
  await useBundle();
  // In watch mode the sources may have changed.
  project.onTestsRerun(useBundle);
}

async function useBundle(): Promise<void> {
  const bundle = join(folder, await fingerprint());
  if (!existsSync(bundle)) {
    const draft = `${bundle}.${process.pid}`;
    try {
      await Promise.all(roles.map((role) => writeBundle(role, join(draft, bundleOf(role)))));
      // Another test run may have been first.
      await rename(draft, bundle).catch(() => {});
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
    await removeOutdated();
    await warmUp(bundle);
  }
  process.env[bundleVariable] = bundle;
}

async function removeOutdated(): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const { mtimeMs } = await stat(path);
    if (mtimeMs < Date.now() - outdatedMs) await rm(path, { recursive: true, force: true });
  }
}

/** Changes whenever a source of a bundle changes. */
async function fingerprint(): Promise<string> {
  const hash = createHash('sha1');
  const sources = ['apps/ingress/src', 'apps/worker/src', 'apps/admin/src', 'packages'];
  const files = ['package-lock.json', 'test/kit/roles-setup.ts'];
  for (const source of sources) {
    const found = await readdir(join(root, source), { recursive: true });
    const own = found.filter((name) => name.endsWith('.ts') && !name.includes('node_modules'));
    files.push(...own.map((name) => join(source, name)));
  }
  for (const file of files.sort()) {
    const { size, mtimeMs } = await stat(join(root, file));
    hash.update(`${file} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex').slice(0, 12);
}

async function writeBundle(role: RoleName, file: string): Promise<void> {
  const bundle = await rolldown({
    input: join(root, `apps/${role}/src/main.ts`),
    platform: 'node',
    external: ['msgpackr-extract', 'pg-native', 'pg-cloudflare'],
    plugins: [whereTheSourceIs, notWarmedUp],
  });
  const { output } = await bundle.generate({
    format: 'esm',
    codeSplitting: false,
    comments: false,
  });
  await bundle.close();
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, inAscii(withoutFacades(output[0].code)));
}

/** Scripts and pages are read from beside the module that needs them, which the bundle is not. */
const whereTheSourceIs: Plugin = {
  name: 'where-the-source-is',
  resolveId(id, importer) {
    // It finds its pages in its own package, and is loaded on demand.
    if (!id.endsWith('/bull-board-app.ts') || importer === undefined) return null;
    return { id: pathToFileURL(join(dirname(importer), id)).href, external: true };
  },
  transform(code, id) {
    if (!code.includes('import.meta.')) return null;
    return code
      .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(id).href))
      .replaceAll('import.meta.dirname', JSON.stringify(dirname(id)))
      .replaceAll('import.meta.filename', JSON.stringify(id));
  },
};

/**
 * A worker's warm-up takes a third of a second of CPU, which only pays off under load and for measured times:
 * tests have neither.
 */
const notWarmedUp: Plugin = {
  name: 'not-warmed-up',
  transform: (_, id) =>
    id.endsWith('/intake/warm-up.ts') ? 'export const warmUp = async () => {};' : null,
};

/**
 * An `import` of `node:http` makes Node evaluate all of its exports, and with them its own copy of undici: a
 * fifth of the start.
 */
const withoutFacades = (code: string): string =>
  code.replaceAll(
    /^import (?:(?:\* as )?([\w$]+))?,? ?(\{.*\})? from "(node:[^"]+)";$/gm,
    (_, whole: string | undefined, named: string | undefined, module: string) =>
      [whole, named?.replaceAll(' as ', ': ')]
        .filter((names) => names !== undefined)
        .map((names) => `const ${names} = process.getBuiltinModule("${module}");`)
        .join(' '),
  );

/** V8 reads ASCII in a tenth of the time; in strings and patterns an escape is the same character. */
const inAscii = (code: string): string =>
  code.replaceAll(
    /[^\0-\x7f]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/** Node writes its compile cache when a process exits by itself, but the tests kill their processes. */
async function warmUp(bundle: string): Promise<void> {
  const redis = await startRedis();
  const config = join(tmpdir(), `millrace-test-roles-${process.pid}.json`);
  await writeFile(
    config,
    JSON.stringify({
      providers: {
        none: { api: 'openai', baseUrl: 'http://127.0.0.1:9/v1', check: { kind: 'off' } },
      },
      models: { none: { targets: [{ provider: 'none', model: 'none' }] } },
    }),
  );
  try {
    await Promise.all(
      roles.map(async (role) => {
        const child = spawnChild({
          name: role,
          command: process.execPath,
          args: [
            join(bundle, bundleOf(role)),
            '--config',
            config,
            '--redis',
            redis.url,
            ...(role === 'ingress' ? ['--port', '0'] : []),
          ],
          env: { ...process.env, LOG_LEVEL: 'silent' },
          ipc: true,
        });
        const ready = child.message<{ type?: string }>(({ type }) => type === 'ready');
        try {
          await aborted(ready, AbortSignal.timeout(startMs));
        } finally {
          await child.stop();
        }
      }),
    );
  } finally {
    await redis.close();
    await rm(config);
  }
}
