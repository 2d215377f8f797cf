import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { noFleet } from '../api/fleet.fixture.ts';
import { onlyLedger } from '../api/requests.fixture.ts';
import { requestRoutes } from '../api/request-routes.ts';
import { buildApp } from '../app.ts';
import { memoryAudit } from '../audit/audit.fixture.ts';
import { createMigrator, migrate, openDatabase } from '../database/open.ts';
import type { LedgerDatabase } from '../database/open.ts';
import { openPglite } from '../database/pglite.fixture.ts';
import { controlPlaneToken } from '@millrace/shared/store/control-plane';
import { spentBy, storedOf } from '../budgets/spending.ts';
import { keyOptions } from '../keys/keys.fixture.ts';
import { attemptOf, cancelled, done, entryOf, failed, morning, tokens } from './entries.fixture.ts';
import { figureTests } from './figures.contract.ts';
import { incompleteRequests, removeBefore, storeEntries } from './store.ts';

const hourMs = 3_600_000;
/** A thousandth of a cent per token, and twice as much for output of other providers; none for models of unknown price. */
const prices = (
  { provider, model }: { provider: string; model: string },
  { input, output }: { input: number; output: number },
) => (model === 'unknown' ? null : (input + output * (provider === 'own' ? 1 : 2)) * 10_000);

const token = 'secret';
const noErrors = (error: unknown): never => {
  throw error;
};

const idle = { stored: 0, rejected: 0, problem: undefined };
const ledgerOn = (database: LedgerDatabase) => ({
  database,
  consumer: idle,
  backlog: async () => ({ waiting: 0, dropped: 0 }),
  auditBacklog: async () => ({ waiting: 0, dropped: 0 }),
  prices,
  ready: createMigrator(database),
});

type Answer = { data: Record<string, unknown>[]; next: string | null };

describe.each([
  ['SQLite', async () => openDatabase('sqlite::memory:', noErrors)],
  ['PostgreSQL', openPglite],
] as const)('the ledger on %s', (_name, open) => {
  let database: LedgerDatabase;
  let app: ReturnType<typeof buildApp>;
  beforeAll(async () => {
    database = await open();
    app = buildApp({
      audit: memoryAudit(),
      ledger: ledgerOn(database),
      fleet: noFleet(),
      keys: keyOptions(),
      token,
      addRoutes: (to) => requestRoutes(to, onlyLedger(ledgerOn(database))),
      onError: noErrors,
    });
    // PostgreSQL compiles its WebAssembly: eight seconds of CPU.
  }, 90_000);
  afterAll(async () => {
    await app.close();
    await database.destroy();
  });
  beforeEach(async () => {
    await migrate(database);
    await database.deleteFrom('millrace_attempts').execute();
    await database.deleteFrom('millrace_requests').execute();
  });

  const store = (...entries: ReturnType<typeof entryOf>[]) =>
    storeEntries(database, entries, prices);
  const inject = (url: string) =>
    app.inject({ method: 'GET', url, headers: { [controlPlaneToken]: token } });
  const get = async (url: string) => (await inject(url)).json<Answer>();
  const usage = async (query = '') => (await get(`/admin/usage?${query}`)).data;

  figureTests(() => ({ store, get: async (url) => (await inject(url)).json() }));

  test('an empty ledger answers, and its tables are made by the first question', async () => {
    expect(await usage()).toEqual([]);
    expect(await get('/admin/requests')).toEqual({ data: [], next: null });
  });

  test('a migration that was killed in its middle goes on', async () => {
    await database.deleteFrom('millrace_migrations' as 'millrace_requests').execute();
    await migrate(database);
    await store(entryOf('req_1'));
    expect(await usage()).toMatchObject([{ requests: 1 }]);
  });

  test('a migration that ran before changes nothing', async () => {
    await store(entryOf('req_1'));
    await migrate(database);
    expect(await usage()).toMatchObject([{ requests: 1 }]);
  });

  test('an entry that is stored again changes nothing', async () => {
    await store(entryOf('req_1'), entryOf('req_1'));
    await store(entryOf('req_1'));
    expect(await usage()).toEqual([
      {
        requests: 1,
        failed: 0,
        rescued: 0,
        input_tokens: 10,
        cached_tokens: 0,
        output_tokens: 20,
        cost: 0.0003,
        unpriced: 0,
        estimated: 0,
      },
    ]);
  });

  test('the attempts of a request that an ingress ended are counted, in whichever order the entries come', async () => {
    const partial = {
      outcome: 'cancelled',
      usage: tokens(10, 5),
      estimated: 'completion',
    } as const;
    const facts = {
      attempts: [attemptOf(1, partial)],
      user: 'ada',
      session: 's-1',
      promptHash: 'abc',
      rescues: 1,
      maxGapMs: 40,
      firstTextAt: morning + 300,
    };
    const ended = (id: string) => entryOf(id, { end: cancelled(morning + 900), facts: undefined });
    const late = (id: string) => entryOf(id, { end: undefined, facts });
    await store(ended('req_1'), late('req_1'));
    await store(ended('req_2'));
    await store(late('req_2'));
    await store(late('req_3'));
    await store(ended('req_3'));
    const { data } = await get('/admin/requests?session=s-1');
    expect(data).toHaveLength(3);
    expect((await get('/admin/requests?session=s-2')).data).toEqual([]);
    for (const one of data) {
      expect(one).toMatchObject({
        status: 'cancelled',
        error: { code: null, message: 'the client went away' },
        user: 'ada',
        session: 's-1',
        prompt_hash: 'abc',
        rescues: 1,
        max_gap_ms: 40,
        first_token_ms: 300,
        duration_ms: 900,
        usage: { input_tokens: 10, output_tokens: 5, estimated: true },
        cost: 0.00015,
        attempts: [{ outcome: 'cancelled' }],
      });
    }
  });

  test('a request shows its attempts, its events and the pause of its rescue', async () => {
    const lost = attemptOf(1, {
      at: morning + 700,
      firstTokenAt: morning + 300,
      outcome: 'worker_lost',
      usage: tokens(10, 8),
      estimated: 'all',
      detail: 'the worker died',
    });
    const rescue = attemptOf(
      2,
      { at: morning + 1400, firstTokenAt: morning + 850, run: 2 },
      { at: morning + 710, mode: 'continue', run: 2, provider: 'backup' },
    );
    const answer = { rescues: 1, maxGapMs: 150, promptHash: 'abc', firstTextAt: morning + 300 };
    const facts = { attempts: [lost, rescue], ...answer };
    await store(
      entryOf('req_1', { facts, end: done(morning + 1400), meta: { metadata: { a: 1 } } }),
    );
    const one = (await inject('/admin/requests/req_1')).json<Record<string, unknown>>();
    expect(one).toMatchObject({
      id: 'req_1',
      created_at: '2026-11-30T08:00:00.000Z',
      key: 'team',
      status: 'completed',
      provider: 'backup',
      queue_ms: 100,
      first_token_ms: 300,
      duration_ms: 1400,
      rescues: 1,
      max_gap_ms: 150,
      prompt_hash: 'abc',
      metadata: { a: 1 },
      usage: { input_tokens: 20, output_tokens: 28, estimated: true },
      attempts: [
        { mode: 'start', detail: 'the worker died' },
        { mode: 'continue', run: 2 },
      ],
    });
    expect(one['events']).toEqual([
      { at: '2026-11-30T08:00:00.000Z', event: 'created' },
      { at: '2026-11-30T08:00:00.100Z', event: 'attempt', attempt: 1, detail: 'start at own/m' },
      { at: '2026-11-30T08:00:00.300Z', event: 'first_token', attempt: 1 },
      {
        at: '2026-11-30T08:00:00.700Z',
        event: 'attempt_end',
        attempt: 1,
        detail: 'worker_lost: the worker died',
      },
      {
        at: '2026-11-30T08:00:00.710Z',
        event: 'attempt',
        attempt: 2,
        detail: 'continue at backup/m',
      },
      { at: '2026-11-30T08:00:00.850Z', event: 'first_token', attempt: 2 },
      { at: '2026-11-30T08:00:01.400Z', event: 'attempt_end', attempt: 2, detail: 'completed' },
      { at: '2026-11-30T08:00:01.400Z', event: 'completed' },
    ]);
  });

  test('a request whose attempts are not known has an unknown cost, one that never ran costs nothing', async () => {
    const end = cancelled(morning + 900);
    await store(
      entryOf('req_1', { end, facts: undefined, run: 1 }),
      entryOf('req_2', { end, facts: undefined, run: 0 }),
      entryOf('req_3', { facts: { attempts: [{ started: attemptOf(1).started }] } }),
    );
    const { data } = await get('/admin/requests');
    const costs = Object.fromEntries(data.map(({ id, cost }) => [id as string, cost]));
    expect(costs).toEqual({ req_1: null, req_2: 0, req_3: null });
    const time = { from: morning, to: morning + hourMs, limit: 10 };
    expect(await incompleteRequests(database, time)).toEqual(['req_1']);
    await store(entryOf('req_1', { end: undefined }));
    expect(await incompleteRequests(database, time)).toEqual([]);
    expect(await get('/admin/requests/req_1')).toMatchObject({ status: 'cancelled', cost: 0.0003 });
  });

  test('texts and counts that a database would refuse are stored as far as it can', async () => {
    const odd = {
      outcome: 'failed',
      detail: 'no\0pe'.repeat(2000),
      usage: { prompt_tokens: 1e20, completion_tokens: 2 ** 53 + 1, extra: 'x'.repeat(10_000) },
    };
    const facts = { attempts: [attemptOf(1, odd)], user: 'a\0b' };
    await store(entryOf('req_1', { facts, meta: { model: 'm\0', metadata: { text: '\0' } } }));
    const { data } = await get('/admin/requests');
    expect(data).toMatchObject([{ user: 'a\ufffdb', model: 'm\ufffd', metadata: { text: '\0' } }]);
    expect(await usage()).toMatchObject([{ input_tokens: 1e9, output_tokens: 1e9 }]);
  });

  test('usage is grouped, filtered, and says how many prices are unknown', async () => {
    const unknown = { attempts: [attemptOf(1, {}, { model: 'unknown' })] };
    await store(
      entryOf('req_1', { meta: { keyId: 'b' } }),
      entryOf('req_2', { meta: { keyId: 'a', createdAt: morning + hourMs } }),
      entryOf('req_3', {
        meta: { keyId: 'a' },
        end: failed(morning + 500),
        facts: { attempts: [] },
      }),
      entryOf('req_4', { meta: { keyId: 'a', createdAt: morning - 24 * hourMs }, facts: unknown }),
      entryOf('req_5', { meta: { keyId: undefined } }),
    );
    const groups = (rows: Record<string, unknown>[], ...names: string[]) =>
      rows.map((row) => names.map((name) => row[name]));
    expect(new Set(groups(await usage('group_by=key'), 'key', 'requests', 'cost'))).toEqual(
      new Set([
        [null, 1, 0.0003],
        ['a', 3, 0.0003],
        ['b', 1, 0.0003],
      ]),
    );
    expect(groups(await usage('group_by=day'), 'day', 'requests', 'failed', 'unpriced')).toEqual([
      ['2026-11-29', 1, 0, 1],
      ['2026-11-30', 4, 1, 0],
    ]);
    expect(groups(await usage('group_by=hour,key&key=a&from=2026-11-30'), 'hour', 'key')).toEqual([
      ['2026-11-30T08:00:00.000Z', 'a'],
      ['2026-11-30T09:00:00.000Z', 'a'],
    ]);
    // One whose price is unknown has no cost at all.
    expect(await usage('to=2026-11-30T00:00:00Z')).toMatchObject([{ requests: 1, cost: null }]);
    expect(await usage('status=failed&model=alias')).toMatchObject([{ requests: 1, cost: 0 }]);
    expect(await usage('user=nobody')).toEqual([]);
    // Nor has it beside one that used no tokens: 0 would be a sum of nothing.
    const free = { end: failed(morning + 500), facts: { attempts: [] } };
    const day = morning - 48 * hourMs;
    await store(
      entryOf('req_6', { meta: { model: 'other', createdAt: day }, ...free }),
      entryOf('req_7', { meta: { model: 'other', createdAt: day }, facts: unknown }),
    );
    const cost = { cost: null, unpriced: 1 };
    expect(await usage('model=other')).toMatchObject([{ requests: 2, ...cost }]);
    const times = 'model=other&from=2026-11-28&to=2026-11-29';
    expect(await get(`/admin/summary?${times}`)).toMatchObject({ requests: 2, ...cost });
    expect(await get(`/admin/series?${times}&step=1d`)).toMatchObject({ data: [cost] });
    const csv = await inject('/admin/usage?model=other&format=csv');
    expect(csv.body.split('\r\n')[1]).toBe('2,1,0,10,0,20,,1,0');
  });

  test('a list comes in pages, newest first, and each request once', async () => {
    const entries = Array.from({ length: 25 }, (_, i) =>
      entryOf(`req_${String(i).padStart(2, '0')}`, { meta: { createdAt: morning + (i >> 1) } }),
    );
    await store(...entries);
    const seen: unknown[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page: Answer = await get(`/admin/requests?limit=10&cursor=${cursor}`);
      seen.push(...page.data.map(({ id }) => id));
      cursor = page.next;
    }
    expect(seen).toEqual(entries.map(({ id }) => id).toReversed());
  });

  test('a whole list is sent as CSV, safe for a spreadsheet, and as NDJSON', async () => {
    const facts = { attempts: [attemptOf(1)], user: '=HYPERLINK("http://x","a,b")' };
    await store(
      entryOf('req_1', { facts }),
      entryOf('req_2', { meta: { createdAt: morning + 1 } }),
    );
    const csv = await inject('/admin/requests?format=csv');
    expect(csv.headers['content-type']).toBe('text/csv; charset=utf-8');
    const [head, second, first, end] = csv.body.split('\r\n');
    expect(head).toMatch(/^id,created_at,ended_at,key,user,model,/);
    expect(second).toMatch(/^req_2,2026-11-30T08:00:00\.001Z,/);
    expect(first).toContain(`,"'=HYPERLINK(""http://x"",""a,b"")",alias,`);
    expect(end).toBe('');
    const ndjson = await inject('/admin/requests?format=ndjson&key=team');
    const lines = ndjson.body.trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { id: string }).id)).toEqual([
      'req_2',
      'req_1',
    ]);
    expect((await inject('/admin/usage?format=csv&group_by=model')).body).toBe(
      'model,requests,failed,rescued,input_tokens,cached_tokens,output_tokens,cost,unpriced,estimated\r\n' +
        'alias,2,0,0,20,0,40,0.0006,0,0\r\n',
    );
  });

  test('a filter is a value, whatever SQL it has in it', async () => {
    await store(entryOf('req_1'));
    const attack = encodeURIComponent("' OR 1=1; DROP TABLE requests; --");
    for (const name of ['key', 'user', 'model', 'provider']) {
      expect(await usage(`${name}=${attack}`)).toEqual([]);
    }
    expect((await inject(`/admin/requests/${attack}`)).statusCode).toBe(404);
    expect(await usage()).toMatchObject([{ requests: 1 }]);
  });

  test('requests leave with the end of their retention, and their attempts with them', async () => {
    await store(
      entryOf('req_1', { meta: { createdAt: morning - 2 } }),
      entryOf('req_2', { meta: { createdAt: morning - 1 } }),
      entryOf('req_3'),
    );
    expect(await removeBefore(database, morning, 1)).toBe(1);
    expect(await removeBefore(database, morning, 5)).toBe(1);
    expect(await removeBefore(database, morning, 5)).toBe(0);
    expect(await database.selectFrom('millrace_attempts').select('request_id').execute()).toEqual([
      { request_id: 'req_3' },
    ]);
  });

  test('what a key has spent in a day and its month is summed for its budget, and no other key counts', async () => {
    const before = morning - 24 * hourMs;
    const unknown = { attempts: [attemptOf(1, {}, { model: 'unknown' })] };
    await store(
      entryOf('req_1'),
      entryOf('req_2', { facts: unknown }),
      entryOf('req_3', { meta: { createdAt: before } }),
      entryOf('req_4', { meta: { createdAt: morning - 30 * 24 * hourMs } }),
      entryOf('req_5', { meta: { keyId: 'other' } }),
    );
    const spent = await spentBy(database, 'team', morning);
    expect(spent.toSorted((a, b) => (a.period < b.period ? -1 : 1))).toEqual([
      { period: '2026-11', cost: 600_000, tokens: 90, unpriced: 1 },
      { period: '2026-11-30', cost: 300_000, tokens: 60, unpriced: 1 },
    ]);
    expect(await spentBy(database, 'none', morning)).toEqual([]);
  });

  test('the requests that it has are found among many, with those whose attempts it does not know', async () => {
    const end = { end: cancelled(morning + 900), facts: undefined };
    await store(entryOf('req_1'), entryOf('req_2', end));
    const others = Array.from({ length: 1200 }, (_, i) => `req_x_${i}`);
    expect(await storedOf(database, ['req_1', ...others, 'req_2'])).toEqual(
      new Map([
        ['req_1', { incomplete: false }],
        ['req_2', { incomplete: true }],
      ]),
    );
  });

  test.each([
    ['/admin/usage?group=key', 'group', /unknown parameter; known are from, to, /],
    ['/admin/usage?group_by=key,shoe', 'group_by', /expected some of key, user, model/],
    ['/admin/usage?from=yesterday', 'from', /expected a time as RFC 3339/],
    ['/admin/usage?to=2026-13-01', 'to', /expected a time/],
    ['/admin/usage?status=ok', 'status', /expected some of completed, failed, cancelled/],
    ['/admin/requests?model=-', 'model', /values, separated by commas/],
    [
      `/admin/requests?key=${'k,'.repeat(3)}${Array.from({ length: 51 }, (_, i) => i).join()}`,
      'key',
      /at most 50 values/,
    ],
    [`/admin/requests?q=${'x'.repeat(201)}`, 'q', /at most 200 characters/],
    ['/admin/usage?q=x', 'q', /unknown parameter/],
    ['/admin/summary?from=2026-11-30&to=2026-11-30', 'from', /a time before `to`/],
    ['/admin/summary?group_by=key', 'group_by', /unknown parameter/],
    ['/admin/series?by=user', 'by', /expected some of status, model, key, provider/],
    ['/admin/series?by=key,model', 'by', /expected one of/],
    ['/admin/series?step=5', 'step', /a duration of at least a second/],
    ['/admin/series?step=10ms', 'step', /a duration of at least a second/],
    ['/admin/series?from=2026-11-01&to=2026-11-30&step=1m', 'step', /more than 500/],
    ['/admin/requests?limit=0', 'limit', /a whole number from 1 to 1000/],
    ['/admin/requests?limit=1e2', 'limit', /a whole number/],
    ['/admin/requests?cursor=abc', 'cursor', /the `next` of an earlier answer/],
    ['/admin/requests?format=xml', 'format', /expected some of json, csv, ndjson/],
    ['/admin/requests?key=a&key=b', 'key', /expected it once/],
    ['/admin/requests?user=a%00', 'user', /a character that no value has/],
    ['/admin/requests?format=csv&limit=5', 'limit', /only with format=json/],
  ])('%s gets a 400 that names the parameter', async (url, param, message) => {
    const answer = await inject(url);
    expect(answer.statusCode).toBe(400);
    const { error } = answer.json<{ error: Record<string, unknown> }>();
    expect(error).toMatchObject({ code: 'invalid_parameter', param });
    expect(error['message']).toMatch(message);
  });

  test('times are read as seconds, as dates and with a zone', async () => {
    await store(entryOf('req_1'));
    for (const from of [morning / 1000, '2026-11-30', '2026-11-30T10:00:00%2B02:00']) {
      expect(await usage(`from=${from}`)).toMatchObject([{ requests: 1 }]);
    }
    expect(await usage(`from=${(morning + 1) / 1000}`)).toEqual([]);
    expect(await usage('from=2026-11-30T08:00:00.001')).toEqual([]);
    expect(await usage(`to=${morning / 1000}`)).toEqual([]);
  });
});

test('a request without the token of an ingress is rejected', async () => {
  const app = buildApp({
    audit: memoryAudit(),
    ledger: undefined,
    fleet: noFleet(),
    keys: keyOptions(),
    token,
    onError: noErrors,
  });
  const answers = await Promise.all(
    [{}, { [controlPlaneToken]: 'another' }].map((headers) =>
      app.inject({ method: 'GET', url: '/admin/usage', headers }),
    ),
  );
  expect(answers.map(({ statusCode }) => statusCode)).toEqual([401, 401]);
  await app.close();
});

test('without a database the error says which setting is missing', async () => {
  const app = buildApp({
    audit: memoryAudit(),
    ledger: undefined,
    fleet: noFleet(),
    keys: keyOptions(),
    token,
    onError: noErrors,
  });
  const answer = await app.inject({
    url: '/admin/usage',
    headers: { [controlPlaneToken]: token },
  });
  expect(answer.statusCode).toBe(404);
  expect(answer.body).toContain('set database.url in the config');
  await app.close();
});
