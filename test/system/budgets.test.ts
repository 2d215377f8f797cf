import { randomUUID } from 'node:crypto';
import { keyspace } from '@millrace/shared/store/keys';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chat } from '../kit/api.ts';
import { budgetOf, reservationsOf } from '../kit/budgets.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { call, errorOf, jsonOf, open } from '../kit/http.ts';
import type { Ended, SendOptions } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { openSocket } from '../kit/socket.ts';

// Budgets of keys over two ingresses. Each test has a key of its own. What kills must not lose is in test/fault/budget-kills.test.ts.

let fleet: Fleet;
let one: RoleProcess;
let other: RoleProcess;

/** A thousandth of a USD for each token of an answer: `short` costs 0.02. */
const price = { input: 0, output: 1000 };
const answerTokens = 20;
const key = (id: string, budget: Record<string, unknown>, more = {}) => ({
  id,
  secret: `secret-${id}`,
  budget,
  ...more,
});
const configKeys = [
  key('crowd', { day: 0.1 }),
  key('told', { day: 0.03, month: 0.01 }),
  key('tokens', { tokensPerDay: 3000 }),
  key('ways', { day: 0 }),
  key('limited', { day: 1 }, { limits: { concurrent: 1 } }),
  key('mixed', { day: 1 }),
  key('joined', { day: 1 }),
  key('busy', { day: 0.01 }),
  key('lost', { day: 0.01 }),
  key('reloaded', { day: 0.02 }),
  key('strict', { day: 1 }),
  { id: 'free', secret: 'secret-free' },
];

beforeAll(async () => {
  fleet = await startFleet({
    admin: true,
    ingresses: 2,
    models: {
      short: { targets: [{ provider: 'primary', model: `healthy:tokens=${answerTokens}`, price }] },
      long: { targets: [{ provider: 'primary', model: 'healthy:tokens=2000', price }] },
      // 20 tokens take 10 s: no test waits for its end.
      slow: { targets: [{ provider: 'primary', model: 'healthy:tokens=5000,pace=500', price }] },
      unpriced: 'healthy:tokens=5',
    },
    config: { keys: configKeys, admin: { user: 'ops', password: 'pass' } },
  });
  [one, other] = fleet.ingresses as [RoleProcess, RoleProcess];
});
afterAll(() => fleet.close());

const bearer = (secret: string) => ({ authorization: `Bearer secret-${secret}` });
const chatUrl = (ingress: RoleProcess) => `${ingress.url}/v1/chat/completions`;
const ask = (id: string, model = 'short', more = {}, ingress = one): Promise<Ended> =>
  call(chatUrl(ingress), {
    headers: bearer(id),
    body: chat(model, { max_tokens: answerTokens, ...more }),
  });
const admin = (path: string, options: SendOptions = {}) =>
  call(`${one.url}/admin/${path}`, {
    ...options,
    headers: { authorization: `Basic ${Buffer.from('ops:pass').toString('base64')}` },
  });

type Use = Awaited<ReturnType<typeof budgetOf>>[number];
const useOf = async (id: string): Promise<Use[]> =>
  (jsonOf(await admin(`keys/${id}`)) as { budget_use: Use[] }).budget_use;

/** Waits until the ledger has all requests of a key. */
async function settled(id: string): Promise<void> {
  await expect.poll(() => reservationsOf(fleet, id), { timeout: 30_000 }).toEqual([]);
}

/** Requests of a key that the ledger has with their answers. */
async function answersInLedger(id: string): Promise<number> {
  const { data } = jsonOf(await admin(`usage?key=${id}&status=completed`)) as {
    data: { requests: number }[];
  };
  return data[0]?.requests ?? 0;
}

describe('a budget in money', () => {
  test('admits of many requests at once those that fit by their estimates, over all ingresses', async () => {
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, i) => ask('crowd', 'short', {}, i % 2 === 0 ? one : other)),
    );
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(5);
    expect(new Set(statuses)).toEqual(new Set([200, 429]));
    await settled('crowd');
    expect(await useOf('crowd')).toMatchObject([
      { per: 'day', unit: 'USD', limit: 0.1, spent: 0.1, reserved: 0, unpriced_requests: 0 },
    ]);
    expect((await ask('crowd')).status).toBe(429);
  });

  test('says in OpenAI’s form which amount is used up and when it is renewed', async () => {
    expect((await ask('told')).status).toBe(200);
    await settled('told');
    const answer = await ask('told', 'short', { stream: true }, other);
    const now = Date.now();
    const date = new Date(now);
    const renewal = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1);
    expect(answer.status).toBe(429);
    expect(errorOf(answer)).toMatchObject({
      code: 'insufficient_quota',
      type: 'insufficient_quota',
      message:
        `The budget of key 'told' is used up: 0.02 USD spent, of 0.01 USD per month (UTC). ` +
        `It is renewed at ${new Date(renewal).toISOString().replace('.000Z', 'Z')}.`,
    });
    expect(answer.headers).toMatchObject({ 'x-should-retry': 'false' });
    const retryAfter = Number(answer.headers['retry-after']);
    expect(Math.abs(now + retryAfter * 1000 - renewal)).toBeLessThan(60_000);
  });

  test('counts a request of unknown price as nothing, and says how many there were', async () => {
    expect((await ask('mixed', 'unpriced')).status).toBe(200);
    await settled('mixed');
    expect(await useOf('mixed')).toMatchObject([{ spent: 0, reserved: 0, unpriced_requests: 1 }]);
  });

  test('gives back what a request reserved that another limit refused', async () => {
    const stream = open(chatUrl(one), {
      headers: bearer('limited'),
      body: chat('slow', { stream: true, max_tokens: 20 }),
    });
    await stream.head;
    const own = [{ spent: 0, reserved: 0.02 }];
    expect(await useOf('limited')).toMatchObject(own);
    expect(errorOf(await ask('limited'))).toMatchObject({ code: 'rate_limit_exceeded' });
    await expect.poll(() => useOf('limited')).toMatchObject(own);
    stream.leave();
    await settled('limited');
    const [after] = await useOf('limited');
    // What was made until its client left, by an estimate.
    expect(after?.spent).toBeGreaterThan(0);
  });
});

test('a call that joins a request by its Idempotency-Key reserves nothing beside it', async () => {
  const once = randomUUID();
  const begin = () =>
    open(chatUrl(one), {
      headers: { ...bearer('joined'), 'idempotency-key': once },
      body: chat('slow', { stream: true, max_tokens: 20 }),
    });
  const streams = [begin(), begin(), begin()];
  for (const stream of streams) expect(await stream.head).toMatchObject({ status: 200 });
  await expect.poll(() => reservationsOf(fleet, 'joined')).toHaveLength(1);
  expect(await useOf('joined')).toMatchObject([{ reserved: 0.02 }]);
  for (const stream of streams) stream.leave();
  await settled('joined');
});

test('a request that finds the budget reserved by others, or by its first try, may try again soon', async () => {
  const once = randomUUID();
  const begin = () =>
    open(chatUrl(one), {
      headers: { ...bearer('busy'), 'idempotency-key': once },
      body: chat('slow', { stream: true, max_tokens: 20 }),
    });
  const stream = begin();
  expect(await stream.head).toMatchObject({ status: 200 });
  for (const answer of [await ask('busy'), await begin().ended]) {
    expect(answer.status).toBe(429);
    expect(errorOf(answer)).toMatchObject({ code: 'budget_reserved' });
    expect(answer.headers).toMatchObject({ 'retry-after': '5' });
    expect(answer.headers).not.toHaveProperty('x-should-retry');
  }
  stream.leave();
  await settled('busy');
});

describe('a budget in tokens', () => {
  test('is exceeded by the requests under way and no more', async () => {
    // The estimate of an answer without a bound is 500 tokens, and these have 2,000.
    const more = { max_tokens: undefined };
    expect((await ask('tokens', 'long', more)).status).toBe(200);
    await settled('tokens');
    expect((await ask('tokens', 'long', more)).status).toBe(200);
    await settled('tokens');
    expect(errorOf(await ask('tokens', 'long', more)).message).toMatch(
      /^The budget of key 'tokens' is used up: 40\d\d tokens spent, of 3000 tokens per day \(UTC\)/,
    );
    expect(await useOf('tokens')).toMatchObject([{ unit: 'tokens', limit: 3000, reserved: 0 }]);
  });
});

describe('a request that a budget refuses', () => {
  const refusal = { code: 'insufficient_quota', type: 'insufficient_quota' };

  test('is refused as a stream, as a job and on a WebSocket', async () => {
    const stream = await ask('ways', 'short', { stream: true });
    expect([stream.status, errorOf(stream)]).toMatchObject([429, refusal]);
    const job = await call(`${one.url}/v1/jobs`, {
      headers: bearer('ways'),
      body: { body: chat('short') },
    });
    expect([job.status, errorOf(job)]).toMatchObject([429, refusal]);
    expect(job.headers).toMatchObject({ 'x-should-retry': 'false' });
    const socket = await openSocket(other.url, bearer('ways'));
    socket.send({ type: 'create', ref: 'a', body: chat('short') });
    const { error } = await socket.next(({ ref }) => ref === 'a');
    expect(error).toMatchObject(refusal);
    expect(error?.retry_after_ms).toBeGreaterThan(0);
    await socket.close();
  });

  test('is not sent again by OpenAI’s SDK', async () => {
    let calls = 0;
    const client = new OpenAI({
      baseURL: `${one.url}/v1`,
      apiKey: 'secret-ways',
      maxRetries: 3,
      fetch: (...asked) => {
        calls += 1;
        return fetch(...asked);
      },
    });
    const asked = client.chat.completions.create({
      model: 'short',
      messages: [{ role: 'user', content: 'hello' }],
    });
    await expect(asked).rejects.toMatchObject({ status: 429, code: 'insufficient_quota' });
    expect(calls).toBe(1);
  });

  test('is counted by a reason of its own', async () => {
    const { text } = await call(`${one.url}/metrics`);
    const labels = { reason: 'budget', key: 'ways' };
    expect(sumOf(parsePrometheus(text), 'millrace_refusals_total', labels)).toBeGreaterThan(0);
  });
});

describe('a budget that changes', () => {
  let made = 0;

  test('counts from the next request on, also what was spent before, and survives a rotation', async () => {
    const id = `made-${(made += 1)}`;
    const body = { id, budget: { day: 0.02, currency: 'USD' } };
    const { secret } = jsonOf(await admin('keys', { body })) as { secret: string };
    const spend = (shown = secret) =>
      call(chatUrl(one), {
        headers: { authorization: `Bearer ${shown}` },
        body: chat('short', { max_tokens: answerTokens }),
      });
    const change = (budget: unknown) => admin(`keys/${id}`, { method: 'PATCH', body: { budget } });
    // The ingress hears of the key after the operator.
    await expect.poll(async () => (await spend()).status).toBe(200);
    expect((await spend()).status).toBe(429);
    await settled(id);
    await change({ day: 0.03 });
    await expect.poll(async () => (await spend()).status).toBe(200);
    await change(null);
    await expect.poll(async () => (await spend()).status).toBe(200);
    // Without a budget there is no reservation to wait for.
    await expect.poll(() => answersInLedger(id)).toBe(3);
    const changed = jsonOf(await change({ day: 0.05, tokensPerDay: 1e9 })) as { budget_use: Use[] };
    expect(changed.budget_use).toMatchObject([{ unit: 'USD', spent: 0.06 }, { unit: 'tokens' }]);
    await expect.poll(async () => (await spend()).status).toBe(429);
    const rotated = jsonOf(await admin(`keys/${id}/rotate`, { body: {} })) as { secret: string };
    await expect.poll(async () => (await spend(rotated.secret)).status).toBe(429);
    await admin(`keys/${id}`, { method: 'DELETE' });
    expect(await useOf(id)).toMatchObject([{ spent: 0.06, reserved: 0 }, {}]);
  });

  test('is taken over from the config file', async () => {
    expect((await ask('reloaded')).status).toBe(200);
    expect((await ask('reloaded')).status).toBe(429);
    const keys = configKeys.map((one) =>
      one.id === 'reloaded' ? key('reloaded', { day: 1 }) : one,
    );
    await fleet.reconfigure({ keys });
    await expect.poll(async () => (await ask('reloaded')).status).toBe(200);
  });
});

test('counters that Redis has lost are there again from the ledger', async () => {
  expect((await ask('lost')).status).toBe(200);
  await settled('lost');
  expect((await ask('lost')).status).toBe(429);
  const redis = fleet.redis.connect();
  await redis.del(keyspace().budgetTotals('lost'), keyspace().reservations('lost'));
  await expect
    .poll(() => useOf('lost'), { timeout: 30_000 })
    .toMatchObject([{ spent: 0.02, reserved: 0 }]);
  expect((await ask('lost')).status).toBe(429);
});

test('a key without a budget has no counters', async () => {
  expect((await ask('free')).status).toBe(200);
  const redis = fleet.redis.connect();
  expect(await redis.exists(keyspace().budgetTotals('free'))).toBe(0);
  for (const name of await redis.keys('*:budget:*')) {
    expect(await redis.pttl(name)).toBeGreaterThan(0);
  }
});

test('closed without a ledger refuses until the control plane confirms the counters, open serves', async () => {
  const strictly = await fleet.replaceIngress({ budgets: { onLedgerDown: 'closed' } });
  await expect.poll(async () => (await ask('strict', 'short', {}, strictly)).status).toBe(200);
  await Promise.all(fleet.admins.splice(0).map((process) => process.stop('SIGKILL')));
  const redis = fleet.redis.connect();
  await redis.hset(keyspace().budgetTotals('strict'), 'confirmed', Date.now() - 61_000);
  const refused = await ask('strict', 'short', {}, strictly);
  expect([refused.status, errorOf(refused).code]).toEqual([503, 'budget_unconfirmed']);
  const open = await fleet.addIngress();
  expect((await ask('strict', 'short', {}, open)).status).toBe(200);
  await fleet.addAdmin();
  await expect
    .poll(async () => (await ask('strict', 'short', {}, strictly)).status, { timeout: 30_000 })
    .toBe(200);
});
