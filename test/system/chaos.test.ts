import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ask, requestId } from '../kit/client.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf, jsonOf } from '../kit/http.ts';
import type { Ended } from '../kit/http.ts';
import { chunks, expectWhole } from '../kit/judge.ts';
import { isAlive } from '../kit/observe.ts';
import { openStreams, slowAnswer } from '../kit/takeover.ts';

// What an operator breaks on purpose, over an ingress, and that the answers go on.

let fleet: Fleet;
/** A provider that is not marked as simulated, and what it was asked. */
const calls: (string | undefined)[] = [];
const real = createServer(({ url }, response) => {
  calls.push(url);
  response.writeHead(404).end();
});
const { text, models } = slowAnswer(300);
// An answer that is stalled is given up soon.
const impatient = { ...models.pair, idleTimeout: '1500ms' };

beforeAll(async () => {
  await once(real.listen(0, '127.0.0.1'), 'listening');
  const { port } = real.address() as AddressInfo;
  fleet = await startFleet({
    admin: true,
    workers: 2,
    models: { pair: models.pair, impatient },
    config: {
      chaos: true,
      providers: {
        real: { api: 'openai', baseUrl: `http://127.0.0.1:${port}/v1`, check: { kind: 'off' } },
      },
    },
  });
});
afterAll(async () => {
  await fleet?.close();
  real.closeAllConnections();
  real.close();
});
beforeEach(async () => {
  fleet.primary.reset();
  fleet.backup.reset();
  for (const dead of fleet.workers.filter((worker) => !isAlive(worker))) {
    fleet.workers.splice(fleet.workers.indexOf(dead), 1);
    await fleet.addWorker();
  }
});

const breakSomething = (body: unknown): Promise<Ended> =>
  call(`${fleet.url}/admin/chaos`, { body });

const doneOf = (answer: Ended): Record<string, unknown>[] => {
  expect(answer).toMatchObject({ status: 200 });
  return (jsonOf(answer) as { done: Record<string, unknown>[] }).done;
};
const codeOf = (answer: Ended) => [answer.status, errorOf(answer).code];

/** A stream in its middle, with the id of its request. */
async function begin(model: string) {
  const stream = ask(fleet.url, model);
  await stream.until(chunks(10));
  return { stream, id: await requestId(stream) };
}

const alive = () => fleet.workers.filter(isAlive).length;

describe('a worker that is killed', () => {
  test('is the one that runs the request, whose answer goes on', async () => {
    const { stream, id } = await begin('pair');
    const done = doneOf(await breakSomething({ action: 'kill-worker', request: id }));
    expect(done).toMatchObject([{ action: 'kill-worker' }]);
    await expect.poll(alive).toBe(1);
    fleet.hurry();
    await expectWhole(stream, text);
  });

  test('is the one with this name', async () => {
    const answer = jsonOf(await call(`${fleet.url}/admin/fleet`)) as {
      processes: { name: string; role: string; listening: boolean; pid: number }[];
    };
    const worker = answer.processes.find((one) => one.role === 'worker' && one.listening);
    const done = doneOf(await breakSomething({ action: 'kill-worker', worker: worker?.name }));
    expect(done).toEqual([{ action: 'kill-worker', worker: worker?.name }]);
    const dead = fleet.workers.find(({ child }) => child.pid === worker?.pid);
    await expect.poll(() => dead && isAlive(dead)).toBe(false);
    expect(dead?.child.signalCode).toBe('SIGKILL');
    expect(alive()).toBe(1);
  });

  test('is none if no worker runs the request, or has the name', async () => {
    const gone = await breakSomething({ action: 'kill-worker', request: `req_0_${randomUUID()}` });
    expect(codeOf(gone)).toEqual([409, 'not_running']);
    const unknown = await breakSomething({ action: 'kill-worker', worker: 'worker-none' });
    expect(codeOf(unknown)).toEqual([404, 'process_not_found']);
    expect(alive()).toBe(2);
  });
});

describe.each([
  ['cut', 'pair', 'cut by simulator'],
  ['stall', 'impatient', 'aborted by client'],
])('answers of a simulated provider: %s', (action, model, end) => {
  test('that of a request, and it goes on while others are left alone', async () => {
    const { stream, id } = await begin(model);
    const other = await begin(model);
    const done = doneOf(await breakSomething({ action, request: id }));
    expect(done).toMatchObject([{ action, request: id, provider: 'primary' }]);
    const hit = await fleet.primary.waitFor(
      ({ headers, state }) => headers['x-millrace-request'] === id && state !== 'open',
    );
    expect(hit.state).toBe(end);
    const untouched = fleet.primary.requests.find(
      ({ headers }) => headers['x-millrace-request'] === other.id,
    );
    expect(untouched?.state).toBe('open');
    // The backup continues in the middle.
    await fleet.backup.waitFor(({ headers }) => headers['x-millrace-request'] === id);
    fleet.hurry();
    await Promise.all([expectWhole(stream, text), expectWhole(other.stream, text)]);
  });

  test('all of a provider', async () => {
    const streams = await openStreams(fleet.url, model, 3);
    const done = doneOf(await breakSomething({ action, provider: 'primary' }));
    const ids = await Promise.all(streams.map(requestId));
    expect(new Set(done.map(({ request }) => request))).toEqual(new Set(ids));
    for (const { request } of done) {
      await fleet.backup.waitFor(({ headers }) => headers['x-millrace-request'] === request);
    }
    fleet.hurry();
    await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  });

  test('and never asks a provider that is not marked as simulated', async () => {
    expect(codeOf(await breakSomething({ action, provider: 'real' }))).toEqual([
      409,
      'not_simulated',
    ]);
    doneOf(await breakSomething({ action }));
    expect(calls).toEqual([]);
  });

  test('none, where none is under way', async () => {
    expect(doneOf(await breakSomething({ action }))).toEqual([]);
    const gone = await breakSomething({ action, request: `req_0_${randomUUID()}` });
    expect(codeOf(gone)).toEqual([409, 'not_running']);
  });
});

test.each([
  [{}, 400],
  [{ action: 'unplug' }, 400],
  [{ action: 'cut', worker: 'x' }, 400],
  [{ action: 'kill-worker', provider: 'primary' }, 400],
  [{ action: 'cut', request: 7 }, 400],
  [[], 400],
  [{ action: 'cut', provider: 'nobody' }, 404],
  [{ action: 'cut', provider: '__proto__' }, 404],
])('an order that makes no sense breaks nothing: %j', async (body, status) => {
  const answer = await breakSomething(body);
  expect([answer.status, typeof errorOf(answer).message]).toEqual([status, 'string']);
});

test('what was broken, and what could not be, is in the audit log', async () => {
  const request = `req_0_${randomUUID()}`;
  doneOf(await breakSomething({ action: 'stall', provider: 'primary' }));
  await breakSomething({ action: 'cut', request });
  const outcomes = async () => {
    const answer = await call(`${fleet.url}/admin/audit?action=chaos&limit=1000`);
    const { data } = jsonOf(answer) as { data: { outcome: string; detail: unknown }[] };
    return data.map(({ outcome }) => outcome);
  };
  await expect.poll(outcomes).toEqual(expect.arrayContaining(['ok', 'not_running']));
});
