import type { Order } from '@millrace/shared/domain/order';
import type { FleetProcess, OrderOutcome } from '@millrace/shared/store/fleet/port';
import { controlPlaneToken } from '@millrace/shared/store/control-plane';
import { expect, test } from 'vitest';
import { buildApp } from '../app.ts';
import { memoryAudit } from '../audit/audit.fixture.ts';
import { keyOptions } from '../keys/keys.fixture.ts';
import { noFleet } from './fleet.fixture.ts';
import type { FleetSource } from './fleet-routes.ts';

const token = 'token';

const worker: FleetProcess = {
  name: 'worker-1',
  role: 'worker',
  version: '1.2.3',
  host: 'host-a',
  pid: 7,
  startedAt: Date.now() - 90_000,
  stage: 'serving',
  counts: { runs: 2 },
  isListening: true,
};

function ask(fleet: Partial<FleetSource>, url: string, method: 'GET' | 'POST' = 'GET') {
  const app = buildApp({
    audit: memoryAudit(),
    ledger: undefined,
    fleet: noFleet(fleet),
    keys: keyOptions(),
    token,
    onError: fleet.onError ?? (() => {}),
  });
  return app.inject({ method, url, headers: { [controlPlaneToken]: token } });
}

/** A process that carries each order out after some looks. */
function obedient(process: FleetProcess, looks: number, outcome: OrderOutcome = 'sent') {
  const sent: Order[] = [];
  let left = looks;
  const fleet = noFleet({
    async list() {
      if (sent.length > 0) left -= 1;
      const stage = sent.at(-1) === 'drain' && left <= 0 ? 'draining' : process.stage;
      return [{ ...process, stage }];
    },
    async send(_name, order) {
      if (outcome === 'sent') sent.push(order);
      return outcome;
    },
  });
  return { fleet, sent };
}

test('the fleet has its processes, the age of its queue, what the ledger has not stored, and how full Redis is', async () => {
  // The control plane reads its clock after this.
  const before = Date.now();
  const answer = await ask(
    {
      list: async () => [worker, { ...worker, name: 'worker-2', isListening: false }],
      queue: async () => ({
        waiting: 3,
        active: 2,
        oldestAt: before - 5000,
        pausedShards: [1],
      }),
      backlog: async () => ({ waiting: 4, dropped: 1, problem: 'away' }),
      memory: async () => ({ used: 5, max: 100 }),
      shards: 2,
    },
    '/admin/fleet',
  );
  const body = answer.json<{
    processes: { uptime_s: number }[];
    queue: { oldest_ms: number };
  }>();
  expect(body).toMatchObject({
    redis: { shards: 2, used_bytes: 5, max_bytes: 100 },
    processes: [
      {
        name: 'worker-1',
        stage: 'serving',
        version: '1.2.3',
        counts: { runs: 2 },
        listening: true,
      },
      { name: 'worker-2', listening: false },
    ],
    queue: { waiting: 3, active: 2, paused_shards: [1] },
    ledger: { waiting: 4, dropped: 1, problem: 'away' },
  });
  expect(body.processes[0]?.uptime_s).toBeGreaterThanOrEqual(90);
  expect(body.queue.oldest_ms).toBeGreaterThanOrEqual(5000);
});

test.each([
  [
    { used: 5, max: 0 },
    { used_bytes: 5, max_bytes: null },
  ],
  [undefined, { used_bytes: null, max_bytes: null }],
])('Redis with the memory %j is shown as %j', async (memory, shown) => {
  const answer = await ask({ memory: async () => memory }, '/admin/fleet');
  expect(answer.json()).toMatchObject({ redis: { shards: 1, ...shown } });
});

test('without a ledger and without waiting requests both are null', async () => {
  const answer = await ask({}, '/admin/fleet');
  expect(answer.json()).toEqual({
    processes: [],
    queue: { waiting: 0, active: 0, oldest_ms: null, paused_shards: [] },
    ledger: null,
    redis: { shards: 1, used_bytes: null, max_bytes: null },
  });
});

test('a drain is answered once the process has carried it out', async () => {
  const { fleet, sent } = obedient(worker, 3);
  const answer = await ask(fleet, '/admin/fleet/worker-1/drain', 'POST');
  expect(answer.statusCode).toBe(200);
  expect(answer.json()).toMatchObject({ name: 'worker-1', stage: 'draining' });
  expect(sent).toEqual(['drain']);
});

test('a drain that the process has not carried out in time is accepted', async () => {
  const { fleet } = obedient(worker, Infinity);
  const answer = await ask({ ...fleet, patienceMs: 50 }, '/admin/fleet/worker-1/drain', 'POST');
  expect(answer.statusCode).toBe(202);
  expect(answer.json()).toMatchObject({ stage: 'serving' });
});

const refusals: [title: string, Partial<FleetSource>, status: number, code: string][] = [
  ['that does not exist', {}, 404, 'process_not_found'],
  ['that is gone', obedient(worker, 0, 'gone').fleet, 404, 'process_not_found'],
  ['that stops already', obedient(worker, 0, 'stopping').fleet, 409, 'process_stopping'],
  [
    'that begins to stop in between',
    obedient({ ...worker, stage: 'stopping' }, Infinity).fleet,
    409,
    'process_stopping',
  ],
  [
    'that is a control plane',
    obedient({ ...worker, role: 'admin' }, 0).fleet,
    400,
    'not_drainable',
  ],
  [
    'while Redis is away',
    noFleet({
      list: () => Promise.reject(new Error('LOADING Redis is loading the dataset in memory')),
    }),
    503,
    'redis_unavailable',
  ],
];

test.each(refusals)('a drain of a process %s is refused', async (_title, fleet, status, code) => {
  const answer = await ask(fleet, '/admin/fleet/worker-1/drain', 'POST');
  expect(answer.statusCode).toBe(status);
  expect(answer.json()).toMatchObject({ error: { code } });
});

const never = () => new Promise<never>(() => {});

test('while Redis is away both routes answer at once, and send nothing', async () => {
  const { fleet, sent } = obedient(worker, 0);
  const away = { ...fleet, isReady: () => false };
  for (const answer of [
    await ask(away, '/admin/fleet'),
    await ask(away, '/admin/fleet/worker-1/drain', 'POST'),
  ]) {
    expect(answer.statusCode).toBe(503);
    expect(answer.json()).toMatchObject({ error: { code: 'redis_unavailable' } });
  }
  expect(sent).toEqual([]);
});

test('an answer of Redis that does not come has a time limit', async () => {
  const silent = { list: never, answerMs: 20 };
  expect((await ask(silent, '/admin/fleet')).statusCode).toBe(503);
  expect((await ask(silent, '/admin/fleet/worker-1/drain', 'POST')).statusCode).toBe(503);
});

test('an order that Redis does not take in time is given up', async () => {
  let given: AbortSignal | undefined;
  const fleet = {
    list: async () => [worker],
    send: (_name: string, _order: Order, signal?: AbortSignal) => {
      given = signal;
      return never();
    },
    answerMs: 20,
  };
  expect((await ask(fleet, '/admin/fleet/worker-1/drain', 'POST')).statusCode).toBe(503);
  expect(given?.aborted).toBe(true);
});

test.each([
  ['LOADING Redis is loading the dataset in memory', 503, 'redis_unavailable'],
  ['NOPERM this user has no permissions', 500, 'internal_error'],
])('the error %s is a %i, and is logged', async (message, status, code) => {
  const logged: unknown[] = [];
  const onError = (error: unknown) => void logged.push(error);
  const error = new Error(message);
  const answer = await ask({ list: () => Promise.reject(error), onError }, '/admin/fleet');
  expect(answer.statusCode).toBe(status);
  expect(answer.json()).toMatchObject({ error: { code } });
  expect(logged).toContain(error);
});

test('an unknown parameter is refused', async () => {
  const answer = await ask({}, '/admin/fleet?role=worker');
  expect(answer.statusCode).toBe(400);
});
