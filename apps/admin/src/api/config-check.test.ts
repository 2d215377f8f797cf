import { createConfigCheck, loadConfig } from '@millrace/shared/config';
import { controlPlaneToken } from '@millrace/shared/store/control-plane';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
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
const env = {
  REDIS_URL: 'redis://127.0.0.1:1',
  PRESENT: 'https://present.example/of-the-environment',
  STORE: 'postgres://user:of-the-environment@host.example/db',
  SECRET: 'sk-of-the-environment',
  HOST: 'of-the-environment.example',
  COUNT: '4711',
};
const { config } = loadConfig({ argv, env, role: 'admin' });
let texts = { started: present, current: present };
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
      check: createConfigCheck({ argv, env, role: 'admin', inUse: () => texts }),
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

test('the file in use has no problems and no differences, and its check is in the audit log without the text', async () => {
  expect(await check(present)).toMatchObject({ problems: [], diff: [], truncated: false });
  expect(audit.entries).toMatchObject([{ action: 'config.check', outcome: 'ok' }]);
  expect(JSON.stringify(audit.entries)).not.toContain('secret');
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

describe('a value of the environment', () => {
  const everywhere = `admin: { user: '\${SECRET}', password: '\${SECRET}' }
database: { url: '\${STORE}' }
listen: { host: '\${HOST}', cors: { origins: ['https://\${HOST}'] } }
providers:
  own: { api: openai, baseUrl: '\${PRESENT}/v1', apiKeys: ['\${SECRET}'] }
  other: { api: openai, baseUrl: 'https://\${HOST}/v1' }
models:
  fast: { targets: [{ provider: own, model: '\${SECRET}' }], timeout: 60s }
keys:
  - { id: '\${SECRET}', secret: '\${SECRET}' }
limits: { queueJobs: '\${COUNT}' }
`;

  test('is in no difference: the reference is', async () => {
    const answer = await post(everywhere);
    expect(answer.body).not.toMatch(/of-the-environment|environment.invalid|4711/);
    const { problems, diff } = answer.json<{ problems: unknown[]; diff: { path: string }[] }>();
    expect(problems).toEqual([]);
    const by = Object.fromEntries(diff.map(({ path, ...one }) => [path, one]));
    expect(by).toMatchObject({
      'providers.own.baseUrl': { from: 'http://127.0.0.1:9/v1', to: '${PRESENT}/v1' },
      'providers.other': { to: { baseUrl: 'https://${HOST}/v1' } },
      'models.fast.targets': { to: [{ model: '${SECRET}' }] },
      database: { to: { url: '${STORE}' } },
      'keys.${SECRET}': { to: { id: '${SECRET}' } },
    });
  });

  test.each([
    ['provider: own', "provider: '${SECRET}'"],
    ['api: openai', "api: '${SECRET}'"],
    ['60s', "'${SECRET}'"],
    ['id: team', "id: team, models: ['${SECRET}']"],
    ['id: team', "id: team, ips: ['${SECRET}']"],
    ['fast: {', "'${SECRET}': {"],
    ['[first-secret]', '${SECRET}'],
    ['1000', '${SECRET'],
  ])('is in no problem: %s becomes %s', async (from, to) => {
    const answer = await post(present.replace(from, () => to));
    expect(answer.statusCode).toBe(200);
    expect(answer.body).not.toMatch(/of-the-environment|environment.invalid/);
    const { problems, warnings } = answer.json<{ problems: unknown[]; warnings: unknown[] }>();
    expect([...problems, ...warnings]).not.toEqual([]);
  });

  test('makes no difference where the config in use has the same reference', async () => {
    texts = { started: everywhere, current: everywhere };
    expect(await check(everywhere)).toMatchObject({ problems: [], diff: [] });
    const text = everywhere.replace('60s', '30s').replace("'${PRESENT}/v1'", "'${OTHER}/v1'");
    const { diff } = await check(text);
    expect(diff).toMatchObject([
      { path: 'providers.own.baseUrl', from: '${PRESENT}/v1', to: '${OTHER}/v1' },
      { path: 'models.fast.timeoutMs', from: 60_000, to: 30_000 },
    ]);
    texts = { started: present, current: present };
  });
});

test('of a webhook only the origin is shown', async () => {
  const secret = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
  const url = 'https://hooks.example/T0/token?sig=s';
  const answer = await post(`${present}webhooks: { secret: ${secret}, url: '${url}' }\n`);
  expect(answer.json()).toMatchObject({
    diff: [{ path: 'webhooks', to: { url: 'https://hooks.example/(not shown)' } }],
  });
  expect(answer.body).not.toMatch(/whsec|token|sig=/);
});

// A check that took the square of their number would exceed the test's own time limit.
test('a text with as many variables as fit is checked in time', async () => {
  const names = Array.from({ length: 40_000 }, (_, i) => `# \${V${i}}`).join('\n');
  expect((await post(`${names}\n${present}`)).statusCode).toBe(200);
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
