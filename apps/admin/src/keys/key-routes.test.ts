import { controlPlaneToken } from '@millrace/shared/store/control-plane';
import { createMemoryApiKeys } from '@millrace/shared/store/api-keys/memory-api-keys';
import { maxKeys } from '@millrace/shared/store/api-keys/port';
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { noFleet } from '../api/fleet.fixture.ts';
import { buildApp } from '../app.ts';
import { memoryAudit } from '../audit/audit.fixture.ts';
import type { KeyBudgets } from '../api/key-routes.ts';
import { keyOptions } from './keys.fixture.ts';

const token = 'secret';
const hourMs = 3_600_000;
const start = Date.parse('2026-11-30T12:00:00Z');
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const at = (ms: number) => new Date(ms).toISOString();

let app: ReturnType<typeof buildApp>;
let store: ReturnType<typeof createMemoryApiKeys>;
let now: number;
let isReady: boolean;

/** The keys whose counters were written, and what they say. */
let refreshed: string[];
let use: { spent: number; reserved: number };
let fail: Error | undefined;

function buildKeysApp(hasLedger: boolean) {
  const keys = keyOptions({
    store,
    configured,
    budgets: hasLedger ? fakeBudgets : undefined,
    isReady: () => isReady,
    now: () => now,
    onError() {},
  });
  return buildApp({
    ledger: undefined,
    audit: memoryAudit(),
    fleet: noFleet(),
    keys,
    token,
    onError() {},
  });
}

const fakeBudgets: KeyBudgets = {
  async refresh(id) {
    if (fail) throw fail;
    refreshed.push(`${id} ${(await store.find(id)) ? 'exists' : 'is new'}`);
  },
  read: async (ids) => ids.map(() => ({ confirmedAt: start, useOf: () => use, unpriced: () => 3 })),
};

beforeEach(() => {
  now = start;
  isReady = true;
  store = createMemoryApiKeys();
  refreshed = [];
  use = { spent: 0, reserved: 0 };
  fail = undefined;
  app = buildKeysApp(true);
});
afterEach(() => app.close());

const configured = [
  {
    id: 'of-config',
    secretsSha256: [sha256('one'), sha256('two')],
    models: ['small'],
    ips: [],
    priority: 'high' as const,
    weight: 2,
  },
];

type Answer = {
  status: number;
  headers: Record<string, unknown>;
  body: Record<string, unknown> & {
    secret?: string;
    data?: Record<string, unknown>[];
    error?: { code: string; param: string | null; message: string };
  };
};

async function call(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: unknown) {
  const answer = await app.inject({
    method,
    url: `/admin/keys${path}`,
    headers: { [controlPlaneToken]: token },
    ...(body !== undefined && { payload: body as object }),
  });
  const { statusCode: status, headers } = answer;
  return { status, headers, body: answer.json() } as Answer;
}

const problem = async (answer: Promise<Answer>) => {
  const { status, body } = await answer;
  return [status, body.error?.code, body.error?.param];
};

describe('a key that is created', () => {
  test('has its settings, defaults for the others, and a secret that is shown once and not kept', async () => {
    const made = await call('POST', '', {
      id: 'team-a',
      models: ['small'],
      ips: ['10.0.0.0/8'],
      limits: { requestsPerMinute: 5 },
      expires_at: '2026-12-01T00:00:00Z',
    });
    expect(made.status).toBe(201);
    expect(made.headers).toMatchObject({
      'cache-control': 'no-store',
      location: '/admin/keys/team-a',
    });
    const { secret = '', ...view } = made.body;
    expect(secret).toMatch(/^mr-[\w-]{43}$/);
    expect(view).toEqual({
      id: 'team-a',
      models: ['small'],
      ips: ['10.0.0.0/8'],
      priority: 'normal',
      weight: 1,
      debug: false,
      limits: { requestsPerMinute: 5 },
      budget: null,
      budget_use: [],
      source: 'api',
      status: 'valid',
      created_at: at(start),
      expires_at: '2026-12-01T00:00:00.000Z',
      revoked_at: null,
      revoked: false,
      secrets: [{ created_at: at(start), valid_until: null }],
    });
    expect((await call('GET', '/team-a')).body).toEqual(view);
    const kept = JSON.stringify(await store.read());
    expect(kept).not.toContain(secret);
    expect(kept).toContain(sha256(secret));
  });

  test('has another secret than any other', async () => {
    const secrets = new Set<unknown>();
    for (let i = 0; i < 20; i += 1) {
      secrets.add((await call('POST', '', { id: `key-${i}` })).body.secret);
    }
    expect(secrets.size).toBe(20);
  });

  test('is listed with those of the config, without any secret or digest', async () => {
    const { secret = '' } = (await call('POST', '', { id: 'b' })).body;
    await call('POST', '', { id: 'a' });
    const { data = [] } = (await call('GET', '')).body;
    expect(data.map(({ id, source }) => [id, source])).toEqual([
      ['of-config', 'config'],
      ['a', 'api'],
      ['b', 'api'],
    ]);
    expect(data[0]).toMatchObject({ secrets: [{ created_at: null }, { created_at: null }] });
    const text = JSON.stringify(data);
    for (const hidden of [secret, sha256(secret), sha256('one')])
      expect(text).not.toContain(hidden);
  });

  test('has an id that no other key has, in the config, among the created or the revoked ones', async () => {
    expect((await call('POST', '', { id: 'a' })).status).toBe(201);
    await call('DELETE', '/a');
    for (const id of ['a', 'of-config']) {
      expect(await problem(call('POST', '', { id }))).toEqual([409, 'key_exists', 'id']);
    }
  });

  const long = 'x'.repeat(101);
  test.each([
    ['no object', [], null],
    ['no id', {}, 'id'],
    ['an empty id', { id: '' }, 'id'],
    ['an id that is no text', { id: 5 }, 'id'],
    ['an id with a slash', { id: 'a/b' }, 'id'],
    ['an id of dots', { id: '..' }, 'id'],
    ['an id that is too long', { id: long }, 'id'],
    ['a model that does not exist', { id: 'a', models: ['small', 'smal'] }, 'models[1]'],
    ['a model that is no text', { id: 'a', models: [5] }, 'models[0]'],
    ['models that are no list', { id: 'a', models: 'small' }, 'models'],
    ['models that are null', { id: 'a', models: null }, 'models'],
    ['an address that is none', { id: 'a', ips: ['10.0.0.0/8', '10.0.0.0/33'] }, 'ips[1]'],
    ['a priority that is none', { id: 'a', priority: 'urgent' }, 'priority'],
    ['a weight that is too low', { id: 'a', weight: 0 }, 'weight'],
    ['a weight that is too high', { id: 'a', weight: 1001 }, 'weight'],
    ['limits that are no object', { id: 'a', limits: 5 }, 'limits'],
    ['a limit of 0', { id: 'a', limits: { concurrent: 0 } }, 'limits.concurrent'],
    [
      'a limit with a fraction',
      { id: 'a', limits: { tokensPerMinute: 1.5 } },
      'limits.tokensPerMinute',
    ],
    ['a limit that does not exist', { id: 'a', limits: { perDay: 5 } }, 'limits.perDay'],
    ['an expiry that has passed', { id: 'a', expires_at: '2026-11-30T11:59:59Z' }, 'expires_at'],
    ['an expiry of now', { id: 'a', expires_at: start / 1000 }, 'expires_at'],
    ['an expiry that is no time', { id: 'a', expires_at: 'tomorrow' }, 'expires_at'],
    ['an expiry in milliseconds', { id: 'a', expires_at: start + hourMs }, 'expires_at'],
    ['too many models', { id: 'a', models: Array.from({ length: 1001 }, () => '*') }, 'models'],
    ['too many addresses', { id: 'a', ips: Array.from({ length: 257 }, () => '::1') }, 'ips'],
    ['an expiry that is no text', { id: 'a', expires_at: true }, 'expires_at'],
    ['a secret of its own', { id: 'a', secret: 'mr-mine' }, 'secret'],
    ['a field that does not exist', { id: 'a', model: 'small' }, 'model'],
  ])('with %s is rejected with the name of the field', async (_what, body, param) => {
    expect(await problem(call('POST', '', body))).toEqual([400, 'invalid_value', param]);
    expect((await store.read()).keys).toEqual([]);
  });

  test('with several wrong fields gets an error that names all of them, as the config does', async () => {
    const { body } = await call('POST', '', { id: 'a', weight: 0, models: ['smal'] });
    expect(body.error?.message).toBe(
      'weight: expected a whole number from 1 to 1000, found 0; models[0]: expected "*" or one of the models (small, large), found "smal" (did you mean small?)',
    );
  });

  test('that is no JSON, or comes with a parameter, is rejected', async () => {
    const answer = await app.inject({
      method: 'POST',
      url: '/admin/keys',
      headers: { [controlPlaneToken]: token, 'content-type': 'application/json' },
      payload: '{"id":',
    });
    expect(answer.statusCode).toBe(400);
    expect(await problem(call('POST', '?dry=1', { id: 'a' }))).toEqual([
      400,
      'invalid_parameter',
      'dry',
    ]);
  });
});

describe('a key that is changed', () => {
  beforeEach(async () => {
    const limits = { concurrent: 5, requestsPerMinute: 9 };
    await call('POST', '', { id: 'a', models: ['small'], weight: 3, limits, expires_at: 2e9 });
  });

  test('has its new settings, and all others as before', async () => {
    const before = (await call('GET', '/a')).body;
    const changed = await call('PATCH', '/a', { models: ['*'], limits: { concurrent: 1 } });
    expect(changed.status).toBe(200);
    expect(changed.body).toEqual({ ...before, models: ['*'], limits: { concurrent: 1 } });
    expect((await call('GET', '/a')).body).toEqual(changed.body);
    expect(changed.body).not.toHaveProperty('secret');
  });

  test('loses its limits and its expiry by null', async () => {
    const changed = await call('PATCH', '/a', { limits: null, expires_at: null });
    expect(changed.body).toMatchObject({ limits: null, expires_at: null, weight: 3 });
    expect((await call('GET', '/a')).body).toEqual(changed.body);
  });

  test.each([
    ['nothing', {}, null],
    ['another id', { id: 'b' }, 'id'],
    ['a wrong field', { ips: ['x'] }, 'ips[0]'],
    ['an expiry that has passed', { expires_at: 1 }, 'expires_at'],
    ['a revocation', { revoked: true }, 'revoked'],
  ])('by %s is rejected', async (_what, body, param) => {
    expect(await problem(call('PATCH', '/a', body))).toEqual([400, 'invalid_value', param]);
  });

  test('is found again if another operator changes it at the same time', async () => {
    const { write } = store;
    let others = 2;
    store.write = async (key, seen) => {
      const present = await store.find('a');
      if ((others -= 1) >= 0 && present) {
        await write({ ...present, weight: present.weight + 100 }, present);
      }
      return write(key, seen);
    };
    const changed = await call('PATCH', '/a', { priority: 'low' });
    expect(changed.body).toMatchObject({ priority: 'low', weight: 203 });
  });

  test('and has expired is valid again with a later expiry', async () => {
    now = 2e12;
    expect((await call('GET', '/a')).body['status']).toBe('expired');
    await call('PATCH', '/a', { expires_at: 3e9 });
    expect((await call('GET', '/a')).body['status']).toBe('valid');
  });
});

describe('a key that is rotated', () => {
  const secretsOf = async () => (await call('GET', '/a')).body['secrets'];
  beforeEach(async () => {
    await call('POST', '', { id: 'a' });
  });

  test('has a new secret, and the old one for a day', async () => {
    now += hourMs;
    const rotated = await call('POST', '/a/rotate');
    expect(rotated.status).toBe(200);
    expect(rotated.headers['cache-control']).toBe('no-store');
    expect(rotated.body.secret).toMatch(/^mr-/);
    expect(await secretsOf()).toEqual([
      { created_at: at(start), valid_until: at(start + 25 * hourMs) },
      { created_at: at(start + hourMs), valid_until: null },
    ]);
    now = start + 25 * hourMs;
    expect(await secretsOf()).toMatchObject([{ valid_until: null }]);
    const { keys } = await store.read();
    expect(keys[0]?.secrets.at(-1)?.sha256).toBe(sha256(rotated.body.secret ?? ''));
  });

  test('has the old one for as long as asked, and with 0 the new one only', async () => {
    await call('POST', '/a/rotate', { grace: '10m' });
    expect(await secretsOf()).toMatchObject([{ valid_until: at(start + hourMs / 6) }, {}]);
    // An older one ends with the others, and not later than it was to.
    await call('POST', '/a/rotate', { grace: '1h' });
    const ends = [at(start + hourMs / 6), at(start + hourMs), null];
    expect(await secretsOf()).toMatchObject(ends.map((end) => ({ valid_until: end })));
    await call('POST', '/a/rotate', { grace: 0 });
    expect(await secretsOf()).toEqual([{ created_at: at(start), valid_until: null }]);
  });

  test('has so many secrets at most', async () => {
    for (let i = 0; i < 4; i += 1) expect((await call('POST', '/a/rotate')).status).toBe(200);
    expect(await problem(call('POST', '/a/rotate'))).toEqual([409, 'too_many_secrets', null]);
    expect((await call('POST', '/a/rotate', { grace: '0s' })).status).toBe(200);
  });

  test.each([
    ['a grace that is no duration', { grace: 'soon' }, 'grace'],
    ['a grace without a unit', { grace: 10 }, 'grace'],
    ['a grace that is too long', { grace: '31d' }, 'grace'],
    ['a field that does not exist', { old: '1h' }, 'old'],
    ['a list', [], null],
  ])('with %s is rejected', async (_what, body, param) => {
    expect(await problem(call('POST', '/a/rotate', body))).toEqual([400, 'invalid_value', param]);
    expect(await secretsOf()).toHaveLength(1);
  });
});

describe('a key that is revoked', () => {
  beforeEach(async () => {
    await call('POST', '', { id: 'a' });
    now += hourMs;
    await call('DELETE', '/a');
  });

  test('says since when, also after a second time', async () => {
    now += hourMs;
    const again = await call('DELETE', '/a');
    expect(again.status).toBe(200);
    expect(again.body).toMatchObject({
      status: 'revoked',
      revoked: true,
      revoked_at: at(start + hourMs),
    });
  });

  test('is not changed or rotated any more', async () => {
    expect(await problem(call('PATCH', '/a', { weight: 2 }))).toEqual([409, 'key_revoked', null]);
    expect(await problem(call('POST', '/a/rotate'))).toEqual([409, 'key_revoked', null]);
  });
});

test('the number of keys has a limit, which counts revoked keys until their requests have expired', async () => {
  await call('POST', '', { id: 'revoked' });
  await call('DELETE', '/revoked');
  const [one] = (await store.read()).keys;
  if (!one) throw new Error('no key');
  const { revokedAt: _, ...valid } = one;
  for (let i = 1; i < maxKeys; i += 1) await store.write({ ...valid, id: `key-${i}` }, undefined);
  now += 31 * 24 * hourMs;
  expect(await problem(call('POST', '', { id: 'new' }))).toEqual([409, 'too_many_keys', null]);
  expect((await call('GET', '/revoked')).status).toBe(200);
  now += 2 * 24 * hourMs;
  expect((await call('POST', '', { id: 'new' })).status).toBe(201);
  expect((await call('GET', '/revoked')).status).toBe(404);
});

test('a key of the config is shown, and is not changed, revoked or rotated', async () => {
  expect((await call('GET', '/of-config')).body).toMatchObject({ source: 'config', weight: 2 });
  for (const answer of [
    call('PATCH', '/of-config', { weight: 1 }),
    call('DELETE', '/of-config'),
    call('POST', '/of-config/rotate'),
  ]) {
    expect(await problem(answer)).toEqual([409, 'key_in_config', 'id']);
  }
});

test('a created key that one of the config hides is listed beside it, and is revoked before it can come back', async () => {
  await call('POST', '', { id: 'other' });
  const [other] = (await store.read()).keys;
  if (!other) throw new Error('no key');
  await store.write({ ...other, id: 'of-config' }, undefined);
  const listed = async () =>
    (await call('GET', '')).body.data?.map(({ id, source, status }) => [id, source, status]);
  const [own, visible] = [
    ['of-config', 'config', 'valid'],
    ['other', 'api', 'valid'],
  ];
  expect(await listed()).toEqual([own, ['of-config', 'api', 'shadowed'], visible]);
  expect(await problem(call('PATCH', '/of-config', { weight: 5 }))).toEqual([
    409,
    'key_in_config',
    'id',
  ]);
  const revoked = await call('DELETE', '/of-config');
  expect([revoked.status, revoked.body['source'], revoked.body['status']]).toEqual([
    200,
    'api',
    'revoked',
  ]);
  expect(await listed()).toEqual([own, ['of-config', 'api', 'revoked'], visible]);
  expect((await store.find('of-config'))?.revokedAt).toBe(start);
  // Now only the one of the config is left.
  expect(await problem(call('DELETE', '/of-config'))).toEqual([409, 'key_in_config', 'id']);
});

test('a key that does not exist is not found', async () => {
  for (const answer of [
    call('GET', '/none'),
    call('PATCH', '/none', { weight: 1 }),
    call('DELETE', '/none'),
    call('POST', '/none/rotate'),
  ]) {
    expect(await problem(answer)).toEqual([404, 'key_not_found', 'id']);
  }
});

test('while Redis does not answer, keys cannot be seen or changed, and the error says so', async () => {
  isReady = false;
  expect(await problem(call('GET', ''))).toEqual([503, 'keys_unavailable', null]);
  isReady = true;
  store.write = async () => {
    throw new Error('LOADING');
  };
  expect(await problem(call('POST', '', { id: 'a' }))).toEqual([503, 'keys_unavailable', null]);
});

describe('a key with a budget', () => {
  const budget = { day: 0.5, tokensPerMonth: 1000 };
  const made = () => call('POST', '', { id: 'a', budget });

  test('shows what was spent and reserved of each amount, its limit and its renewal', async () => {
    use = { spent: 120_000_499, reserved: 30 };
    expect((await made()).body).toMatchObject({
      budget: { ...budget, currency: 'USD' },
      budget_use: [
        {
          per: 'day',
          unit: 'USD',
          limit: 0.5,
          spent: 0.12,
          reserved: 0,
          unpriced_requests: 3,
          renews_at: '2026-12-01T00:00:00.000Z',
          confirmed_at: at(start),
        },
        { per: 'month', unit: 'tokens', limit: 1000, spent: 120_000_499, reserved: 30 },
      ],
    });
    const { data = [] } = (await call('GET', '')).body;
    expect(data.map(({ budget_use: uses }) => (uses as unknown[]).length)).toEqual([0, 2]);
  });

  test('has counters before it can be used, and before its budget changes', async () => {
    await made();
    await call('POST', '', { id: 'b' });
    await call('PATCH', '/a', { budget: { month: 7 } });
    await call('PATCH', '/a', { weight: 2 });
    expect(refreshed).toEqual(['a is new', 'a exists']);
    const { body } = await call('GET', '/a');
    expect(body).toMatchObject({ budget: { month: 7, currency: 'USD' }, weight: 2 });
    expect(await store.find('a')).toMatchObject({ budget: { month: 7 } });
  });

  test('that does not exist gets none', async () => {
    expect(await problem(call('PATCH', '/none', { budget }))).toEqual([404, 'key_not_found', 'id']);
    expect(refreshed).toEqual([]);
  });

  test('is made also while the ledger is away', async () => {
    fail = new Error('the database is away');
    expect((await made()).status).toBe(201);
  });

  test('loses it with null', async () => {
    await made();
    const { body } = await call('PATCH', '/a', { budget: null });
    expect(body).toMatchObject({ budget: null, budget_use: [] });
  });

  test.each([
    [{}, 'budget'],
    [{ day: -1 }, 'budget.day'],
    [{ day: '1e400' }, 'budget.day'],
    [{ day: 1, currency: 'EUR' }, 'budget.currency'],
    [{ day: 1, week: 2 }, 'budget.week'],
    ['50', 'budget'],
  ])('of %j is refused with its field', async (wrong, field) => {
    expect(await problem(call('POST', '', { id: 'a', budget: wrong }))).toEqual([
      400,
      'invalid_value',
      field,
    ]);
  });

  test('is refused in a fleet without a ledger', async () => {
    await app.close();
    app = buildKeysApp(false);
    expect(await problem(made())).toEqual([400, 'no_ledger', 'budget']);
    expect((await call('POST', '', { id: 'a' })).status).toBe(201);
    expect(await problem(call('PATCH', '/a', { budget }))).toEqual([400, 'no_ledger', 'budget']);
  });
});
