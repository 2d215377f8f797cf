import { spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

// The direction of imports is kept by lint alone, and a pattern that matches nothing looks like a
// rule that is obeyed. So every rule is shown a file that breaks it, under the same path as in the
// tree, and one that does not.

const root = join(import.meta.dirname, '../..');

const forbidden: [file: string, specifier: string][] = [
  ['packages/shared/src/domain/entry.ts', 'node:fs'],
  ['packages/shared/src/domain/entry.ts', 'zod'],
  ['packages/shared/src/domain/entry.ts', '../keys.ts'],
  ['packages/shared/src/domain/entry.ts', '../log/port.ts'],
  ['packages/shared/src/log/port.ts', 'ioredis'],
  ['packages/shared/src/log/port.ts', '../keys.ts'],
  ['packages/shared/src/queue/port.ts', 'bullmq'],
  ['packages/shared/src/presence/port.ts', 'ioredis'],
  ['packages/shared/src/report/port.ts', 'ioredis'],
  ['packages/shared/src/fleet/port.ts', 'ioredis'],
  ['packages/shared/src/fleet/memory-fleet.ts', 'ioredis'],
  ['packages/shared/src/fleet/redis-fleet.ts', 'bullmq'],
  ['apps/worker/src/upstream/health/health.ts', 'ioredis'],
  ['packages/shared/src/log/memory-log.ts', 'ioredis'],
  ['packages/shared/src/report/memory-reports.ts', 'ioredis'],
  ['packages/shared/src/log/redis-log.ts', 'bullmq'],
  ['packages/shared/src/presence/reaper.ts', 'bullmq'],
  ['packages/shared/src/redis.ts', 'bullmq'],
  ['packages/shared/src/keys.ts', 'ioredis'],
  ['packages/shared/src/queue/bullmq-queue.ts', '../../../../apps/worker/src/run.ts'],
  ['apps/ingress/src/http/completions.ts', 'bullmq'],
  ['apps/ingress/src/http/admin.ts', 'bullmq'],
  ['apps/ingress/src/http/jobs.ts', 'ioredis'],
  ['apps/ingress/src/relay/inbox.ts', 'ioredis/built/Redis.js'],
  ['apps/ingress/src/relay/inbox.ts', '../../../packages/shared/src/redis.ts'],
  ['apps/ingress/src/admission/admit.ts', 'node:os'],
  ['apps/ingress/src/admission/admit.ts', '@millrace/shared/log/port'],
  ['apps/ingress/src/admission/admit.ts', '../http/jobs.ts'],
  ['apps/ingress/src/app.ts', '@millrace/worker'],
  ['apps/ingress/src/app.ts', '../../worker/src/run.ts'],
  ['apps/ingress/src/app.ts', './main.ts'],
  ['apps/worker/src/failover/ladder.ts', 'undici'],
  ['apps/worker/src/failover/ladder.ts', '@millrace/shared/keys'],
  ['apps/worker/src/upstream/selection/selection.ts', 'undici'],
  ['apps/worker/src/run.ts', 'undici'],
  ['apps/worker/src/run.ts', 'bullmq'],
  ['apps/worker/src/run.ts', 'ioredis'],
  ['apps/worker/src/run.ts', './main.ts'],
  ['apps/worker/src/run.test.ts', '../../ingress/src/app.ts'],
  ['apps/supervisor/src/children.ts', '../../worker/src/main.ts'],
  ['test/fault/worker-kill.test.ts', '../../apps/worker/src/main.ts'],
  ['bench/rig.ts', '../test/simulator/main.ts'],
];

const allowed: [file: string, specifier: string][] = [
  ['packages/shared/src/domain/entry.ts', './request.ts'],
  ['packages/shared/src/domain/entry.test.ts', 'vitest'],
  ['packages/shared/src/log/port.ts', '../domain/entry.ts'],
  ['packages/shared/src/log/redis-log.ts', 'ioredis'],
  ['packages/shared/src/presence/reaper.ts', 'ioredis'],
  ['packages/shared/src/report/redis-reports.ts', 'ioredis'],
  ['packages/shared/src/fleet/redis-fleet.ts', 'ioredis'],
  ['packages/shared/src/redis.ts', 'ioredis'],
  ['packages/shared/src/queue/bullmq-queue.ts', 'bullmq'],
  ['packages/shared/src/queue/bullmq-queue.ts', 'ioredis'],
  ['apps/ingress/src/http/jobs.ts', '@millrace/shared/queue/port'],
  ['apps/ingress/src/http/jobs.ts', 'fastify'],
  ['apps/ingress/src/admission/admit.ts', './limits.ts'],
  ['apps/ingress/src/admission/admit.ts', '@millrace/shared/domain/request'],
  ['apps/worker/src/run.ts', '@millrace/shared/log/port'],
  ['apps/worker/src/upstream/call.ts', 'undici'],
  ['apps/worker/src/run.test.ts', 'ioredis'],
  ['test/integration/queue.test.ts', 'bullmq'],
  ['test/integration/queue.test.ts', '../../apps/ingress/src/app.ts'],
];

let folder: string;
let refused: Set<string>;

const key = (file: string, specifier: string): string => `${file} imports ${specifier}`;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-import-rules-'));
  cpSync(join(root, '.oxlintrc.json'), join(folder, '.oxlintrc.json'));
  writeFileSync(join(folder, 'tsconfig.json'), '{}');
  for (const [file, specifier] of [...forbidden, ...allowed]) {
    const path = join(folder, file);
    mkdirSync(dirname(path), { recursive: true });
    appendFileSync(path, `export type * from '${specifier}';\n`);
  }
  refused = lint(folder);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** What oxlint refuses below a folder, under its own copy of the rules. */
function lint(cwd: string): Set<string> {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'node_modules/oxlint/bin/oxlint'), '--format', 'json'],
    { cwd, encoding: 'utf8' },
  );
  try {
    const report = JSON.parse(stdout) as {
      diagnostics: { filename: string; code: string; message: string }[];
    };
    return new Set(
      report.diagnostics
        .filter(({ code }) => code.includes('no-restricted-imports'))
        .map(({ filename, message }) => key(filename, /'([^']+)'/.exec(message)?.[1] ?? message)),
    );
  } catch (cause) {
    throw new Error(`oxlint did not answer with a report: ${stdout}${stderr}`, { cause });
  }
}

describe('the direction of imports', () => {
  test.each(forbidden)('%s may not import %s', (file, specifier) => {
    expect(refused).toContain(key(file, specifier));
  });

  test.each(allowed)('%s may import %s', (file, specifier) => {
    expect(refused).not.toContain(key(file, specifier));
  });
});
