import { expect, test } from 'vitest';
import type { Ingress } from '../http/ingress.ts';
import type { Io } from '../io.ts';
import { changeBody, keyColumns, newKeyBody } from './keys.ts';
import type { Key } from './keys.ts';
import { orderLine, sendOrder } from './order.ts';
import { requestColumns, requestText } from './requests.ts';
import type { RequestRow } from './requests.ts';
import { failureOf, readReadiness, statusText, unhealthy } from './status.ts';
import type { FleetProcess, FleetView, Status } from './status.ts';
import { describeEvent, textOf } from './tail-events.ts';
import { usageColumns } from './usage.ts';
import { table } from '../output/table.ts';

const worker: FleetProcess = {
  name: 'worker-1',
  role: 'worker',
  stage: 'serving',
  listening: true,
  version: '0.2.0',
  host: 'host-a',
  pid: 42,
  started_at: '2026-11-30T08:00:00.000Z',
  uptime_s: 190,
  counts: { runs: 1, waiting: 2 },
};

const status: Status = {
  ingresses: [
    { url: 'http://a:1', status: 'ready', reasons: [] },
    { url: 'http://b:1', status: 'draining', reasons: ['this ingress is draining'] },
  ],
  fleet: {
    processes: [
      {
        ...worker,
        name: 'ingress-1',
        role: 'ingress',
        stage: 'draining',
        counts: { streams: 1, connections: 3 },
      },
      worker,
      { ...worker, name: 'worker-2', listening: false, counts: { runs: 0, waiting: 0 } },
    ],
    queue: { waiting: 1, active: 5, oldest_ms: 65_000, paused_shards: [0] },
    ledger: { waiting: 12, dropped: 3, problem: 'connection refused' },
  },
  targets: [],
  config: { agreed: true, processes: [] },
};

test('status lists processes with their state and load, the queue and the ledger', () => {
  expect(statusText(status, 0).split('\n')).toEqual([
    'http://a:1  ready',
    'http://b:1  draining  this ingress is draining',
    '',
    'process    state     version  host    pid      up  under way',
    'ingress-1  draining  0.2.0    host-a   42  3m 10s  1 stream, 3 connections',
    'worker-1   serving   0.2.0    host-a   42  3m 10s  1 run, 2 waiting for a target',
    'worker-2   lost      0.2.0    host-a   42  3m 10s  0 runs',
    '',
    'queue    1 request waiting, the oldest for 1m 5s, 5 running; paused: shards 0',
    'ledger   12 entries waiting for the database; 3 were not recorded; the database: connection refused',
    'targets  all healthy',
    '',
  ]);
});

test('status says what is not known, and why', () => {
  const text = statusText({ ...status, fleet: 'No control plane runs.', targets: 'denied' }, 0);
  expect(text).toContain('fleet    unknown: No control plane runs.\n');
  expect(text).toContain('targets  unknown: denied\n');
});

test('a status is good only if every ingress is ready, the fleet is known, and a worker takes new work', () => {
  const [ready] = status.ingresses;
  const { fleet } = status as { fleet: FleetView };
  const good: Status = { ...status, ingresses: ready ? [ready] : [] };
  const withWorkers = (...workers: FleetProcess[]): Status => ({
    ...good,
    fleet: { ...fleet, processes: workers },
  });
  expect(failureOf(good)).toBeUndefined();
  expect(failureOf(status)).toBe('');
  expect(failureOf({ ...good, fleet: 'denied' })).toContain('not known');
  const drained: FleetProcess = { ...worker, stage: 'draining' };
  const others = [
    drained,
    { ...worker, listening: false },
    { ...worker, role: 'ingress' as const },
  ];
  expect(failureOf(withWorkers(...others))).toContain('no worker takes new work');
  expect(failureOf(withWorkers(drained, worker))).toBeUndefined();
});

test.each([[{}], [null], [[1]], [{ status: 'ok' }], [{ status: 1, reasons: [] }]])(
  'the JSON %j is not the readiness of an ingress',
  (answer) => {
    const { status: state, reasons } = readReadiness(answer);
    expect(state).toBe('away');
    expect(reasons).toEqual([expect.stringContaining('is it one?')]);
  },
);

test('a target that several workers refuse is listed once, with its worst state and last fault', () => {
  const at = (state: string, since: number, model = 'm') => ({
    provider: 'p',
    model,
    state,
    since,
    last_fault: { code: 'upstream_timeout', message: 'no answer' },
  });
  const found = unhealthy({
    workers: [
      {
        name: 'a',
        upstreams: { health: { targets: [at('recovering', 90), at('closed', 1, 'n')] } },
      },
      { name: 'b', upstreams: { health: { targets: [at('open', 100)] } } },
      { name: 'c' },
    ],
  });
  expect(found).toEqual([
    { target: 'p/m', state: 'open', since: 90, workers: 2, fault: 'no answer' },
  ]);
  const text = statusText({ ...status, targets: found }, 150_000);
  expect(text).toContain('targets  1 is not healthy\n');
  expect(text).toMatch(/^p\/m +open +1m +2 +no answer$/m);
});

test('a target that an operator opened names the operator', () => {
  const one = { provider: 'p', model: 'm', state: 'open', since: 90, last_fault: { code: 'x' } };
  const found = unhealthy({
    workers: [{ name: 'a', upstreams: { health: { targets: [one] } } }],
    targets: [{ target: 'p/m', held: { by: 'ops' } }],
  });
  expect(found).toMatchObject([{ fault: 'opened by ops' }]);
});

test('status says why a config file is refused, what needs a restart, and that processes differ', () => {
  const textOf = (agreed: boolean, ...processes: [string[], string[]][]): string =>
    statusText(
      {
        ...status,
        config: {
          agreed,
          processes: processes.map(([problems, needs_restart]) => {
            return { name: 'x', problems, needs_restart };
          }),
        },
      },
      0,
    );
  expect(textOf(false, [[], []], [['models.m: wrong', 'more'], []])).toContain(
    'config   1 process refuses its file: models.m: wrong\n',
  );
  expect(textOf(true, [[], ['shards']], [[], ['shards', 'board']])).toContain(
    'config   needs a restart: shards, board\n',
  );
  expect(textOf(false, [[], []])).toContain('config   processes have different ones\n');
  expect(textOf(true, [[], []])).not.toContain('config ');
});

test('an order is reported as carried out, with what is under way, or as not carried out yet', () => {
  const draining = { ...worker, stage: 'draining' as const };
  expect(orderLine(draining, 'drain')).toBe('worker-1 takes no new work; 1 run under way');
  // An ingress still takes requests for the time of drainDelay.
  expect(orderLine({ ...draining, role: 'ingress', counts: { streams: 2 } }, 'drain')).toBe(
    'worker-1 is draining, and refuses new requests once drainDelay of the config is over; 2 streams under way',
  );
  expect(orderLine(worker, 'resume')).toBe('worker-1 takes new work');
  expect(orderLine(worker, 'drain')).toContain('has not carried it out yet');
});

test.each(['drain', 'resume'] as const)(
  '%s ends with 1 if the process has not carried it out yet',
  async (order) => {
    const done = order === 'drain' ? ('draining' as const) : ('serving' as const);
    const not = order === 'drain' ? ('serving' as const) : ('draining' as const);
    const out: string[] = [];
    const send = (stage: FleetProcess['stage']) => {
      const post = async () => ({ ...worker, stage });
      const ingress = { post } as unknown as Ingress;
      return sendOrder(
        ingress,
        { out: (text: string) => out.push(text) } as unknown as Io,
        'w',
        order,
      );
    };
    await expect(send(not)).rejects.toMatchObject({
      exitCode: 1,
      message: expect.stringContaining('has not carried it out yet') as string,
    });
    expect(out).toEqual([]);
    await send(done);
    expect(out).toHaveLength(1);
  },
);

const row: RequestRow = {
  id: 'req_1',
  created_at: '2026-11-30T08:00:00.123Z',
  key: 'team-a',
  user: null,
  model: 'm',
  status: 'failed',
  error: { code: 'overloaded', message: 'It is overloaded.' },
  provider: 'p',
  target_model: 'x',
  queue_ms: 1.4,
  first_token_ms: null,
  duration_ms: 250.6,
  rescues: 1,
  usage: { input_tokens: 10, output_tokens: 5, estimated: true },
  cost: null,
};

test('a request is one line with its error, and one page with its events', () => {
  const [, line] = table([row], requestColumns).split('\n');
  expect(line?.split(/ {2,}/)).toEqual([
    '2026-11-30T08:00:00Z',
    'req_1',
    'failed overloaded',
    'team-a',
    'm',
    'p/x',
    '1',
    '-',
    '251',
    '1',
    '10',
    '5',
    '?',
  ]);
  const page = requestText({
    ...row,
    events: [{ at: 't', event: 'attempt', attempt: 1, detail: 'start at p/x' }],
  });
  expect(page).toContain('error        overloaded It is overloaded.\n');
  expect(page).toContain('tokens       10 in, 5 out (estimated)\n');
  expect(page).toContain('cost         unknown');
  expect(page).toMatch(/^t +attempt +1 +start at p\/x$/m);
});

test('a new key has only the fields that were given, and limits only if there is one', () => {
  const json = (value: unknown) => JSON.parse(JSON.stringify(value)) as unknown;
  expect(json(newKeyBody('a', {}))).toEqual({ id: 'a' });
  const asked = { models: ['m'], concurrent: 5, expires: '2027-01-01T00:00:00Z' };
  expect(json(newKeyBody('a', asked))).toEqual({
    id: 'a',
    models: ['m'],
    limits: { concurrent: 5 },
    expires_at: '2027-01-01T00:00:00Z',
  });
});

test('a change has the budget as it was given, and null for what it removes', () => {
  const json = (value: unknown) => JSON.parse(JSON.stringify(value)) as unknown;
  expect(json(changeBody({ budgetDay: 1.5, tokensPerMonth: 100 }))).toEqual({
    budget: { day: 1.5, tokensPerMonth: 100 },
  });
  expect(json(changeBody({ budget: false, limits: false }))).toEqual({
    budget: null,
    limits: null,
  });
});

test('the list of keys says what was spent and reserved of a budget, and until when', () => {
  const use = {
    per: 'day',
    unit: 'USD',
    limit: 50,
    spent: 12.5,
    reserved: 0.4,
    renews_at: '2026-12-01T00:00:00.000Z',
  };
  const column = keyColumns.find(({ title }) => title === 'budgets');
  const cell = (uses: (typeof use)[]) => column?.cell({ budget_use: uses } as unknown as Key);
  expect(cell([use])).toBe('12.5 (+0.4 reserved) of 50 USD until 2026-12-01T00:00:00Z');
  expect(cell([])).toBeUndefined();
});

test('usage has a column for each group', () => {
  const titles = usageColumns(['key', 'day']).map(({ title }) => title);
  expect(titles.slice(0, 3)).toEqual(['key', 'day', 'requests']);
});

test('the text of a chunk is that of the first choice, streamed, whole or refused', () => {
  const text = (choice: unknown) => textOf(JSON.stringify({ choices: [choice] }));
  expect(text({ index: 0, delta: { content: 'a' } })).toBe('a');
  expect(text({ index: 0, message: { content: 'whole' } })).toBe('whole');
  expect(text({ index: 0, delta: { refusal: 'no' } })).toBe('no');
  expect(text({ index: 1, delta: { content: 'other' } })).toBe('');
  expect(textOf('{"choices":[],"usage":{}}')).toBe('');
});

test.each([
  ['queued', '{"position":2}', 'queued: 2 before it'],
  [
    'attempt',
    '{"run":1,"attempt":2,"provider":"p","model":"m","mode":"continue"}',
    'attempt 2 of run 1: continue at p/m',
  ],
  ['reset', '{"reason":"restart"}', 'reset (restart): what was shown is void'],
  [
    'done',
    '{"finish_reason":"stop","usage":{"completion_tokens":7},"attempts":2}',
    'completed: stop, 7 tokens, 2 attempts',
  ],
  ['failed', '{"error":{"code":"c","message":"why\\u001b[31m"}}', 'failed: c why [31m'],
  ['failed', '{"error":{"code":null,"message":"why"}}', 'failed: why'],
  ['cancelled', '{}', 'cancelled'],
])('the event %s is one line for an operator', (event, data, line) => {
  expect(describeEvent({ event, data, id: undefined })).toContain(line);
});
