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
  ['packages/shared/src/domain/entry.ts', '../store/keys.ts'],
  ['packages/shared/src/domain/entry.ts', '../store/stream-log/port.ts'],
  ['packages/shared/src/store/stream-log/port.ts', 'ioredis'],
  ['packages/shared/src/store/stream-log/port.ts', '../keys.ts'],
  ['packages/shared/src/store/queue/port.ts', 'bullmq'],
  ['packages/shared/src/store/membership/port.ts', 'ioredis'],
  ['packages/shared/src/store/reports/port.ts', 'ioredis'],
  ['packages/shared/src/store/gossip/port.ts', 'ioredis'],
  ['packages/shared/src/store/gossip/memory-gossip.ts', 'ioredis'],
  ['packages/shared/src/store/gossip/redis-gossip.ts', 'bullmq'],
  ['apps/worker/src/upstream/health/health.ts', 'ioredis'],
  ['packages/shared/src/store/stream-log/memory-log.ts', 'ioredis'],
  ['packages/shared/src/store/reports/memory-reports.ts', 'ioredis'],
  ['packages/shared/src/store/stream-log/redis-log.ts', 'bullmq'],
  ['packages/shared/src/store/membership/reaper.ts', 'bullmq'],
  ['packages/shared/src/store/redis.ts', 'bullmq'],
  ['packages/shared/src/store/redis.ts', '@millrace/formats/port'],
  ['packages/shared/src/store/queue/fetch-loop.ts', '@millrace/formats/port'],
  ['packages/shared/src/config/schema.ts', '@millrace/formats/provider-formats'],
  ['packages/shared/src/domain/entry.ts', '@millrace/formats/openai-chat/chunk'],
  ['packages/formats/src/openai-chat/stream.ts', 'undici'],
  ['packages/formats/src/openai-chat/stream.ts', '@millrace/shared/config'],
  ['packages/formats/src/openai-chat/stream.ts', '@millrace/worker'],
  ['packages/formats/src/openai-chat/stream.ts', '../../../../apps/worker/src/run/run.ts'],
  ['packages/formats/src/openai-chat/stream.ts', '../../../../packages/shared/src/domain/json.ts'],
  ['packages/formats/src/openai-chat/stream.ts', '../../../shared/src/store/redis.ts'],
  ['packages/formats/src/port.ts', '../../../apps/worker/src/run/run.ts'],
  ['packages/shared/src/store/keys.ts', 'ioredis'],
  ['packages/shared/src/store/queue/bullmq-queue.ts', '../../../../../apps/worker/src/run/run.ts'],
  ['apps/ingress/src/api/chat-completions/api.ts', 'bullmq'],
  ['apps/ingress/src/api/admin/routes.ts', 'bullmq'],
  ['apps/ingress/src/api/jobs/routes.ts', 'ioredis'],
  ['apps/ingress/src/delivery/inbox.ts', 'ioredis/built/Redis.js'],
  ['apps/ingress/src/delivery/inbox.ts', '../../../../packages/shared/src/store/redis.ts'],
  ['apps/ingress/src/admission/queue-verdict.ts', 'node:os'],
  ['apps/ingress/src/admission/queue-verdict.ts', '@millrace/shared/store/stream-log/port'],
  ['apps/ingress/src/admission/queue-verdict.ts', '../api/jobs/routes.ts'],
  ['apps/ingress/src/errors.ts', './auth/api-keys.ts'],
  ['apps/ingress/src/auth/authenticate.ts', '../api/admin/routes.ts'],
  ['apps/ingress/src/auth/authenticate.ts', '../services.ts'],
  ['apps/ingress/src/auth/authenticate.ts', '../api-error.ts'],
  ['apps/ingress/src/admission/quota.ts', '../observe/refusals.ts'],
  ['apps/ingress/src/observe/metrics.ts', '../server/connections.ts'],
  ['apps/ingress/src/delivery/relay.ts', '../exchange/exchange.ts'],
  ['apps/ingress/src/delivery/relay.ts', '../server/connections.ts'],
  ['apps/ingress/src/server/limits.ts', '../api/chat-completions/request.ts'],
  ['apps/ingress/src/exchange/exchange.ts', '../api/port.ts'],
  ['apps/ingress/src/exchange/exchange.ts', '../api-error.ts'],
  ['apps/ingress/src/exchange/exchange.ts', '../membership/reconcile.ts'],
  ['apps/ingress/src/membership/reconcile.ts', '../api/jobs/view.ts'],
  ['apps/ingress/src/api/jobs/routes.ts', '../../app.ts'],
  ['apps/ingress/src/app.ts', '@millrace/worker'],
  ['apps/ingress/src/app.ts', '../../worker/src/run/run.ts'],
  ['apps/ingress/src/app.ts', './main.ts'],
  ['apps/admin/src/ledger/store.ts', 'ioredis'],
  ['apps/admin/src/app.ts', '../../ingress/src/app.ts'],
  ['apps/ingress/src/app.ts', '@millrace/admin'],
  ['packages/shared/src/store/ledger/port.ts', 'ioredis'],
  ['packages/shared/src/store/fleet/port.ts', 'ioredis'],
  ['packages/shared/src/store/fleet/presence.ts', 'ioredis'],
  ['apps/cli/src/commands/status.ts', 'ioredis'],
  ['apps/cli/src/commands/status.ts', '../../../ingress/src/app.ts'],
  ['apps/ingress/src/app.ts', '@millrace/cli'],
  ['packages/shared/src/store/control-plane.ts', 'ioredis'],
  ['apps/worker/src/continuation/strategies.ts', 'undici'],
  ['apps/worker/src/continuation/strategies.ts', '@millrace/shared/store/keys'],
  ['apps/worker/src/upstream/selection/selection.ts', 'undici'],
  ['apps/worker/src/upstream/selection/selection.ts', '@millrace/shared/cost/known-prices'],
  ['apps/worker/src/run/run.ts', 'undici'],
  ['apps/worker/src/run/run.ts', 'bullmq'],
  ['apps/worker/src/run/run.ts', 'ioredis'],
  ['apps/worker/src/run/run.ts', '../main.ts'],
  ['apps/worker/src/run/run.test.ts', '../../../ingress/src/app.ts'],
  ['apps/supervisor/src/children.ts', '../../worker/src/main.ts'],
  ['test/fault/worker-kill.test.ts', '../../apps/worker/src/main.ts'],
  ['bench/rig.ts', '../apps/simulator/src/main.ts'],
];

const allowed: [file: string, specifier: string][] = [
  ['packages/shared/src/domain/entry.ts', './request.ts'],
  ['packages/shared/src/domain/entry.test.ts', 'vitest'],
  ['packages/shared/src/store/stream-log/port.ts', '../../domain/entry.ts'],
  ['packages/shared/src/store/stream-log/redis-log.ts', 'ioredis'],
  ['packages/shared/src/store/membership/reaper.ts', 'ioredis'],
  ['packages/shared/src/store/reports/redis-reports.ts', 'ioredis'],
  ['packages/shared/src/store/fleet/redis-fleet.ts', 'ioredis'],
  ['packages/shared/src/store/gossip/redis-gossip.ts', 'ioredis'],
  ['packages/shared/src/store/redis.ts', 'ioredis'],
  ['packages/shared/src/store/queue/bullmq-queue.ts', 'bullmq'],
  ['packages/shared/src/store/queue/bullmq-queue.ts', 'ioredis'],
  ['apps/ingress/src/api/jobs/routes.ts', '@millrace/shared/store/queue/port'],
  ['apps/ingress/src/api/jobs/routes.ts', 'fastify'],
  ['apps/ingress/src/api/jobs/routes.ts', '../../services.ts'],
  ['apps/ingress/src/api/jobs/routes.ts', '../../api-error.ts'],
  ['apps/ingress/src/exchange/exchange.ts', '../delivery/relay.ts'],
  ['apps/ingress/src/exchange/exchange.ts', '../errors.ts'],
  ['apps/ingress/src/api-error.ts', './errors.ts'],
  ['apps/ingress/src/admission/queue-verdict.ts', './expected-wait.ts'],
  ['apps/ingress/src/admission/queue-verdict.ts', '@millrace/shared/domain/request'],
  ['packages/formats/src/openai-chat/stream.ts', '../event-stream/parser.ts'],
  ['packages/formats/src/openai-chat/stream.ts', '@millrace/shared/domain/json'],
  ['packages/formats/src/event-stream/parser.ts', 'eventsource-parser'],
  ['apps/worker/src/continuation/strategies.ts', '@millrace/formats/openai-chat/chunk'],
  ['apps/worker/src/run/run.ts', '@millrace/shared/store/stream-log/port'],
  ['apps/worker/src/upstream/call.ts', 'undici'],
  ['apps/worker/src/run/run.test.ts', 'ioredis'],
  ['test/system/queue.test.ts', 'bullmq'],
  ['test/system/queue.test.ts', '../../apps/ingress/src/app.ts'],
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
