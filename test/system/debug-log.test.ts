import { randomUUID } from 'node:crypto';
import { maxWaitingRecords } from '@millrace/shared/domain/debug-record';
import { keyspace } from '@millrace/shared/store/keys';
import type { DebugRecord } from '@millrace/shared/domain/debug-record';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectedText, startSimulator } from '../../apps/simulator/src/index.ts';
import type { Simulator } from '../../apps/simulator/src/index.ts';
import { ask, requestId } from '../kit/client.ts';
import type { Stream } from '../kit/client.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf, jsonOf } from '../kit/http.ts';
import { expectWhole } from '../kit/judge.ts';
import { startRedisProxy } from '../kit/redis-proxy.ts';

// Records of whole upstream calls, from the worker that made them to the files of the control plane.

const ops = { authorization: `Basic ${Buffer.from('ops:pass').toString('base64')}` };
const watched = { authorization: 'Bearer secret-watched' };
const other = { authorization: 'Bearer secret-other' };
const providerKey = 'sk-secret-of-the-operator';

let fleet: Fleet;
let keyed: Simulator;

beforeAll(async () => {
  keyed = await startSimulator({ name: 'keyed' });
  fleet = await startFleet({
    admin: true,
    models: {
      small: { targets: [{ provider: 'keyed', model: 'healthy:tokens=5' }] },
      cut: {
        targets: [
          { provider: 'primary', model: 'cut:tokens=20,after=8' },
          { provider: 'backup', model: 'prefill:tokens=20', prefill: true },
        ],
      },
    },
    config: {
      admin: { user: 'ops', password: 'pass' },
      keys: [
        { id: 'watched', secret: 'secret-watched', debug: true },
        { id: 'other', secret: 'secret-other' },
      ],
      providers: {
        keyed: { api: 'openai', baseUrl: `${keyed.url}/v1`, apiKey: providerKey },
      },
      debugLog: { dir: 'debug' },
    },
  });
});
afterAll(async () => {
  await fleet?.close();
  await keyed?.close();
});

const admin = (path: string) => call(`${fleet.url}/admin/${path}`, { headers: ops });

type Usage = { files: number; waiting: number; dropped: number };
const usage = async () => jsonOf(await admin('debug')) as Usage;

/** The records of a request, once there are so many. */
async function recordsOf(stream: Stream, count: number): Promise<DebugRecord[]> {
  const id = await requestId(stream);
  const read = async () => {
    const answer = await admin(`requests/${id}/debug`);
    return answer.status === 200 ? (jsonOf(answer) as { data: DebugRecord[] }).data : [];
  };
  await expect.poll(async () => (await read()).length).toBe(count);
  return read();
}

const askSmall = (headers: Record<string, string>) =>
  ask(fleet.url, 'small', { headers, body: { user: 'ada' } });

test('a record of a watched key has what the provider got and sent, without the keys of provider and client', async () => {
  const stream = askSmall(watched);
  await expectWhole(stream, expectedText({ tokens: 5 }));
  const [record] = await recordsOf(stream, 1);
  expect(record).toMatchObject({
    key: 'watched',
    model: 'small',
    provider: 'keyed',
    target_model: 'healthy:tokens=5',
    outcome: 'completed',
    answer: { status: 200 },
    omitted_bytes: 0,
  });
  expect(JSON.parse(record?.sent.body ?? '')).toMatchObject({
    model: 'healthy:tokens=5',
    user: 'ada',
  });
  expect(record?.sent.headers['authorization']).toBe('(not shown)');
  const answer = record?.answer?.events.map(({ text }) => text).join('') ?? '';
  expect(answer).toContain('data: [DONE]');
  const text = JSON.stringify(record);
  for (const secret of [providerKey, 'secret-watched']) expect(text).not.toContain(secret);
});

test('a request that was rescued has a record for each of its attempts', async () => {
  const stream = ask(fleet.url, 'cut', { headers: watched });
  await expectWhole(stream, expectedText({ tokens: 20 }));
  const records = await recordsOf(stream, 2);
  expect(records.map(({ provider }) => provider)).toEqual(['primary', 'backup']);
  expect(records[0]?.outcome).not.toBe('completed');
  expect(records[1]?.outcome).toBe('completed');
});

test('a key that is not watched has none, until an operator watches it', async () => {
  const id = `created-${randomUUID()}`;
  const made = await call(`${fleet.url}/admin/keys`, { headers: ops, body: { id } });
  const { secret } = jsonOf(made) as { secret: string };
  const created = { authorization: `Bearer ${secret}` };
  const before = [askSmall(other), askSmall(created)];
  await Promise.all(before.map((stream) => expectWhole(stream, expectedText({ tokens: 5 }))));
  const patched = await call(`${fleet.url}/admin/keys/${id}`, {
    method: 'PATCH',
    headers: ops,
    body: { debug: true },
  });
  expect(jsonOf(patched)).toMatchObject({ debug: true });
  // The change reaches the ingress by a message.
  await expect
    .poll(async () => {
      const stream = askSmall(created);
      await expectWhole(stream, expectedText({ tokens: 5 }));
      const id = await requestId(stream);
      await expect.poll(async () => (await usage()).waiting).toBe(0);
      return (await admin(`requests/${id}/debug`)).status;
    })
    .toBe(200);
  for (const stream of before) {
    const answer = await admin(`requests/${await requestId(stream)}/debug`);
    expect([answer.status, errorOf(answer).code]).toEqual([404, 'record_not_found']);
  }
});

test('streams end while no record is written; those that find no room are dropped and counted', async () => {
  const [control] = fleet.admins;
  // As at a disk that takes nothing.
  control?.child.kill('SIGSTOP');
  const count = maxWaitingRecords + 8;
  try {
    for (let i = 0; i < count; i += 1) {
      await expectWhole(askSmall(watched), expectedText({ tokens: 5 }));
    }
  } finally {
    control?.child.kill('SIGCONT');
  }
  await expect.poll(async () => (await usage()).waiting).toBe(0);
  // The worker drops further ones for a while, and the next record that it sends brings their number.
  await expect
    .poll(async () => {
      const later = askSmall(watched);
      await expectWhole(later, expectedText({ tokens: 5 }));
      const id = await requestId(later);
      await expect.poll(async () => (await usage()).waiting).toBe(0);
      return (await admin(`requests/${id}/debug`)).status;
    })
    .toBe(200);
  expect((await usage()).dropped).toBeGreaterThanOrEqual(8);
});

test('a record that Redis does not take holds up no stream of its worker', async () => {
  const [first] = fleet.workers;
  const proxy = await startRedisProxy(fleet.redis.url);
  const redis = fleet.redis.connect();
  /** Records so far; undefined: there is no stream yet. */
  async function added(): Promise<unknown> {
    const info = await redis.xinfo('STREAM', keyspace().debugLog()).catch(() => []);
    return (info as unknown[])[(info as unknown[]).indexOf('entries-added') + 1];
  }
  try {
    await fleet.addWorker(proxy.url);
    await first?.stop();
    const addedBefore = await added();
    const isHeld = proxy.holdCommand(':debug-log');
    await expectWhole(askSmall(watched), expectedText({ tokens: 5 }));
    await isHeld;
    await expectWhole(askSmall(other), expectedText({ tokens: 5 }));
    // A worker whose streams are held up replaces its connection, which sends the record again.
    expect(await added()).toBe(addedBefore);
    proxy.release();
  } finally {
    await proxy.close();
  }
});
