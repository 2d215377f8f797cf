import { checkConfigText, loadConfig } from '@millrace/shared/config';
import { reload } from '@millrace/shared/config/reload';
import { controlPlaneToken } from '@millrace/shared/store/control-plane';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { memoryAudit } from '../audit/audit.fixture.ts';
import { buildApp } from '../app.ts';
import { keyOptions } from '../keys/keys.fixture.ts';
import { configRoutes } from './config-routes.ts';
import { noFleet } from './fleet.fixture.ts';

const present = `providers:
  own: { api: openai, baseUrl: 'http://127.0.0.1:9/v1', apiKeys: [first-secret] }
models:
  fast: { targets: [{ provider: own, model: m }], timeout: 60s }
keys:
  - { id: team, secret: team-secret-of-before }
limits: { queueJobs: 1000 }
`;

const folder = mkdtempSync(join(tmpdir(), 'millrace-check-'));
const file = join(folder, 'millrace.yaml');
writeFileSync(file, present);
const argv = ['--config', file];
const env = { REDIS_URL: 'redis://127.0.0.1:1', PRESENT: 'https://present.example' };
const { config } = loadConfig({ argv, env, role: 'admin' });
const audit = memoryAudit();
const app = buildApp({
  audit,
  ledger: undefined,
  fleet: noFleet(),
  keys: keyOptions(),
  token: 'token',
  addRoutes: (to) =>
    configRoutes(to, {
      config: () => config,
      check: (text) => checkConfigText(text, { argv, env, role: 'admin' }),
      needsRestart: (next) => reload(config, next).needsRestart,
      processes: async () => [],
      order: async () => 1,
    }),
  onError: (error) => {
    throw error;
  },
});
afterAll(async () => {
  await app.close();
  rmSync(folder, { recursive: true });
});

const post = (payload: string, type = 'text/yaml') =>
  app.inject({
    method: 'POST',
    url: '/admin/config/check',
    headers: { [controlPlaneToken]: 'token', 'content-type': type },
    payload,
  });
const check = async (text: string) => (await post(text)).json<Record<string, unknown>>();

test('the file in use has no problems and no differences, and looking at it is no action of an operator', async () => {
  expect(await check(present)).toMatchObject({ problems: [], diff: [], truncated: false });
  expect(audit.entries).toEqual([]);
});

test('each problem has its line and its field', async () => {
  const text = present.replace('provider: own', 'provider: owl').replace('60s', '1 hour');
  expect(await check(text)).toMatchObject({
    problems: [
      { line: 4, field: 'models.fast.targets[0].provider' },
      { line: 4, field: 'models.fast.timeout', message: expect.stringContaining('1 hour') },
    ],
    diff: [],
  });
  expect(await check('models: [')).toMatchObject({ problems: [{ field: '' }], diff: [] });
});

test('a difference says from what to what, whether it needs a restart, and of a secret only that it differs', async () => {
  const text = `${present
    .replace('60s', '30s')
    .replace('first-secret', 'second-secret')
    .replace('team-secret-of-before', 'team-secret-of-today')
    .replace('1000', '2000')}retention: 10m
`;
  const answer = await post(text);
  const { diff } = answer.json<{ diff: { path: string }[] }>();
  const by = Object.fromEntries(diff.map(({ path, ...one }) => [path, one]));
  expect(by).toMatchObject({
    'models.fast.timeoutMs': { from: 60_000, to: 30_000, needs_restart: false },
    'limits.queueJobs': { from: 1000, to: 2000, needs_restart: false },
    retentionMs: { to: 600_000, needs_restart: true },
    'providers.own.apiKeys': { from: ['(not shown)'], to: ['(not shown)'], needs_restart: false },
  });
  expect(Object.keys(by).filter((path) => path.startsWith('keys.team.'))).toHaveLength(1);
  expect(answer.body).not.toMatch(/first-secret|second-secret|of-before|of-today|[0-9a-f]{64}/);
});

test('a variable that the control plane does not have is a warning, also where its value would not fit', async () => {
  const text = present
    .replace('first-secret', '"${SOME_KEY}"')
    .replace("'http://127.0.0.1:9/v1'", '"${PRESENT}/v1"')
    .replace('queueJobs: 1000', 'queueJobs: "${JOBS}"');
  expect(await check(text)).toMatchObject({
    problems: [],
    warnings: [
      { line: 2, message: expect.stringContaining('SOME_KEY') },
      { line: 7, message: expect.stringContaining('JOBS') },
    ],
  });
  const { diff } = (await check(present.replace('first-secret', '"${SOME_KEY}"'))) as {
    diff: unknown[];
  };
  expect(diff).toMatchObject([{ path: 'providers.own.apiKeys' }]);
});

test('a budget without a ledger is a problem', async () => {
  const text = present.replace('id: team,', 'id: team, budget: { day: 5 },');
  expect(await check(text)).toMatchObject({ problems: [{ field: 'keys' }], diff: [] });
});

test.each([
  ['{}', 'application/json', 400],
  ['a: 1', 'text/plain', 415],
  ['a: 1', 'text/html', 415],
  ['#'.repeat((1 << 20) + 1), 'text/yaml', 413],
])('a body that is no config text is refused: %#', async (payload, type, status) => {
  expect((await post(payload, type)).statusCode).toBe(status);
});
