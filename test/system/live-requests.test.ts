import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, createJob, follow, requestId } from '../kit/client.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, jsonOf } from '../kit/http.ts';
import { chunks, expectWhole } from '../kit/judge.ts';

// What operators see of requests under way, and what they can do with them.

/** Half a minute: streams end when they are hurried, also on a slow machine. */
const tokens = 1500;
const slow = `healthy:tokens=${tokens},pace=20`;

let fleet: Fleet;

beforeAll(async () => {
  const two = [
    { provider: 'primary', model: slow },
    { provider: 'backup', model: slow },
  ];
  fleet = await startFleet({
    admin: true,
    models: { slow, two: { targets: two }, big: 'big:bytes=25165824' },
    config: { limits: { readerBuffer: '256KiB', streamLog: '256MiB' } },
  });
});
afterAll(() => fleet?.close());
beforeEach(() => {
  fleet.primary.reset();
  fleet.backup.reset();
});

async function admin(path: string, method = 'GET', body?: object) {
  const answer = await call(`${fleet.url}/admin/${path}`, { method, ...(body && { body }) });
  return { status: answer.status, body: jsonOf(answer) as Record<string, never> };
}

type LiveEntry = {
  id: string;
  state: string;
  attempt: number;
  output_tokens: number;
  provider: string | null;
  first_text_at: string | null;
};
type Live = { totals: Record<string, number>; running: LiveEntry[]; truncated: boolean };

const live = async () => (await admin('live')).body as unknown as Live;

const liveEntry = async (id: string): Promise<LiveEntry | undefined> =>
  (await live()).running.find((one) => one.id === id);

describe('the list of requests under way', () => {
  test('has a stream with its worker, target and progress, until it has ended', async () => {
    const stream = ask(fleet.url, 'slow');
    await stream.until(chunks(3));
    const id = await requestId(stream);
    await expect
      .poll(() => liveEntry(id))
      .toMatchObject({
        state: 'running',
        model: 'slow',
        provider: 'primary',
        target_model: slow,
        api: '/v1/chat/completions',
        stream: true,
        mode: 'start',
        attempt: 1,
        rescues: 0,
      });
    const seen = await liveEntry(id);
    expect(seen?.first_text_at).toMatch(/^20/);
    await expect.poll(async () => (await liveEntry(id))?.output_tokens).toBeGreaterThan(3);
    expect((await live()).totals['running']).toBeGreaterThan(0);
    fleet.hurry();
    expect((await stream.ended).text).toContain('[DONE]');
    await expect.poll(() => liveEntry(id)).toBeUndefined();
  });
});

type LogItem = { entry: string; at: string | null; type: string; data: unknown };
type LogPage = { data: LogItem[]; next: string | null; expired: boolean };

const logOf = async (id: string, query = ''): Promise<LogPage> => {
  const { status, body } = await admin(`requests/${id}/log${query}`);
  expect(status).toBe(200);
  return body as unknown as LogPage;
};

const sent = (items: LogItem[]): number[] =>
  items.filter(({ type }) => type === 'chunk').map(({ at }) => Date.parse(at ?? ''));

describe('one request', () => {
  test('is shown while it runs, and after its end', async () => {
    const stream = ask(fleet.url, 'slow');
    await stream.until(chunks(3));
    const id = await requestId(stream);
    const open = (await admin(`requests/${id}`)).body as Record<string, unknown>;
    expect(open).toMatchObject({ id, status: 'running', ended_at: null, model: 'slow' });
    expect(open['attempts']).toMatchObject([{ provider: 'primary', outcome: 'running' }]);
    expect(open['events']).toMatchObject([{ event: 'created' }, { event: 'attempt' }]);
    fleet.hurry();
    await stream.ended;
    const now = await admin(`requests/${id}`);
    expect(now.body).toMatchObject({ status: 'completed', finish_reason: 'stop' });
    await expect
      .poll(async () => (await admin(`requests?model=slow`)).body)
      .toMatchObject({ data: expect.arrayContaining([expect.objectContaining({ id })]) });
    expect((await admin(`requests/${id}`)).body).toMatchObject({
      attempts: [{ outcome: 'completed' }],
    });
  });

  test('is answered with a 404 if there is none', async () => {
    for (const id of ['nonsense', 'req_0_000000000000000000000000000000000']) {
      const { status, body } = await admin(`requests/${id}`);
      expect([status, body]).toMatchObject([404, { error: { code: 'request_not_found' } }]);
    }
    expect((await admin('requests/req_0_000000000000000000000000000000000/log')).status).toBe(410);
  });

  test('has a log with the time of each part, while it runs and when it is packed', async () => {
    const before = Date.now();
    const stream = ask(fleet.url, 'slow');
    await stream.until(chunks(20));
    const id = await requestId(stream);
    const early = await logOf(id);
    expect(early.data.slice(0, 2)).toMatchObject([
      { entry: '1-0', type: 'run' },
      { entry: '1-1', type: 'attempt', data: { provider: 'primary', attempt: 1 } },
    ]);
    const times = sent(early.data);
    // The provider sends one every 20 ms; a busy worker stores several of them at a time.
    expect(new Set(times).size).toBeGreaterThan(1);
    expect(Math.min(...times)).toBeGreaterThanOrEqual(before);
    expect(times.toSorted((a, b) => a - b)).toEqual(times);

    fleet.hurry();
    const { events } = await stream.ended;
    const whole = await logOf(id, '?limit=10000');
    expect(whole.data.at(-1)).toMatchObject({ type: 'done' });
    expect(sent(whole.data).length).toBeGreaterThanOrEqual(events.length - 3);
    expect(whole.next).toBeNull();
    await expect
      .poll(() => fleet.redis.connect().hexists(`{millrace:0}:req:${id}`, 'packed'), {
        timeout: 30_000,
      })
      .toBe(1);
    expect(await logOf(id, '?limit=10000')).toEqual(whole);
    const pages = [];
    for (let after = ''; ;) {
      const page = await logOf(id, `?limit=150${after}`);
      pages.push(...page.data);
      if (page.next === null) break;
      after = `&after=${page.next}`;
    }
    expect(pages).toEqual(whole.data);
    expect((await admin(`requests/${id}/log?after=x`)).status).toBe(400);
  });
});

describe('a move', () => {
  const move = (id: string, body?: object) => admin(`requests/${id}/move`, 'POST', body);

  test('in the middle of an answer leaves the client a whole text, and its attempt says so', async () => {
    const stream = ask(fleet.url, 'two');
    await stream.until(chunks(10));
    const id = await requestId(stream);
    const from = (await liveEntry(id))?.provider;
    const to = from === 'primary' ? 'backup' : 'primary';
    expect(await move(id)).toMatchObject({ status: 200, body: { id, from: `${from}/${slow}` } });
    await expect.poll(() => liveEntry(id)).toMatchObject({ provider: to, attempt: 2, rescues: 0 });
    // Back again, by name.
    expect((await move(id, { target: `${from}/${slow}` })).status).toBe(200);
    await expect
      .poll(() => liveEntry(id))
      .toMatchObject({ provider: from, attempt: 3, rescues: 0 });
    fleet.hurry();
    await expectWhole(stream, expectedText({ tokens }));
    const { body } = await admin(`requests/${id}`);
    const outcomes = (body['attempts'] as unknown as { outcome: string }[]).map(
      ({ outcome }) => outcome,
    );
    expect(outcomes).toEqual(['moved', 'moved', 'completed']);
    // What the reader waited for it is shown, though nothing was rescued.
    expect(body).toMatchObject({ rescues: 0, max_gap_ms: expect.any(Number) });
    // No breaker has counted it.
    const { targets } = (await admin('upstreams')).body as unknown as {
      targets: { target: string; state: string }[];
    };
    expect(new Set(targets.map(({ state }) => state))).toEqual(new Set(['closed']));
    expect((await move(id)).body).toMatchObject({ error: { code: 'not_running' } });
    await expect
      .poll(async () => (await admin(`audit?action=request.move&target=${id}`)).body)
      .toMatchObject({ data: [{ outcome: 'not_running' }, { outcome: 'ok' }, { outcome: 'ok' }] });
  });

  test('is refused where the answer cannot go on, and the stream stays as it is', async () => {
    const stream = ask(fleet.url, 'slow');
    await stream.until(chunks(3));
    const id = await requestId(stream);
    expect(await move(id)).toMatchObject({
      status: 409,
      body: { error: { code: 'no_other_target' } },
    });
    expect((await move(id, { target: 'unknown/x' })).status).toBe(400);
    expect((await move(id, { target: 3 })).status).toBe(400);
    expect((await move(id, { to: 'primary/x' })).status).toBe(400);
    fleet.hurry();
    await expectWhole(stream, expectedText({ tokens }));
  });
});

describe('a cancelled request', () => {
  test('ends for its client and at its provider', async () => {
    const stream = ask(fleet.url, 'slow');
    await stream.until(chunks(3));
    const id = await requestId(stream);
    expect(await admin(`requests/${id}/cancel`, 'POST')).toMatchObject({
      status: 200,
      body: { id, status: 'cancelled' },
    });
    expect((await stream.ended).text).toContain('error');
    await expect.poll(() => liveEntry(id)).toBeUndefined();
    await expect
      .poll(async () => (await admin(`requests/${id}`)).body)
      .toMatchObject({ status: 'cancelled', attempts: [{ outcome: 'cancelled' }] });
  });
});

type ReaderEntry = {
  transport: string;
  native: boolean;
  entry: string;
  lag_entries: number;
  lag_ms: number;
  buffered_bytes: number;
};

describe('the readers of a request', () => {
  test('are listed with their transport and their lag', async () => {
    const id = await createJob(fleet.url, 'big');
    const readers = async () =>
      ((await admin(`requests/${id}/readers`)).body as unknown as { data: ReaderEntry[] }).data;
    expect(await readers()).toEqual([]);
    const reading = { keepText: false };
    const fast = follow(fleet.url, id, undefined, reading);
    const slowReader = follow(fleet.url, id, undefined, reading);
    await slowReader.until((one) => one.bytes > 0);
    slowReader.pause();
    const isBehind = ({ lag_entries, lag_ms, buffered_bytes }: ReaderEntry) =>
      lag_entries > 10 && lag_ms > 100 && buffered_bytes > 0;
    await expect
      .poll(async () => (await readers()).find(isBehind))
      .toMatchObject({ transport: 'sse', native: true });
    slowReader.leave();
    fast.leave();
    await admin(`requests/${id}/cancel`, 'POST');
    await expect.poll(readers).toEqual([]);
  });
});

describe('the queue', () => {
  type Queue = { waiting: number; data: { id: string; reason: string; position: number }[] };
  const queue = async () => (await admin('queue')).body as unknown as Queue;

  test('says why a request waits, and a waiting one can be cancelled', async () => {
    await fleet.killWorkers();
    const ids = [await createJob(fleet.url, 'slow'), await createJob(fleet.url, 'slow')];
    const entries = async () => (await queue()).data.filter(({ id }) => ids.includes(id));
    const expected = ids.map((id) => ({
      id,
      model: 'slow',
      class: 'normal',
      reason: 'No worker is there to take it.',
    }));
    await expect.poll(entries).toMatchObject(expected);
    await expect
      .poll(() => liveEntry(ids[0] ?? ''))
      .toMatchObject({ state: 'queued', worker: null });
    const [first = '', second = ''] = ids;
    expect((await admin(`requests/${first}`)).body).toMatchObject({ status: 'queued' });
    expect((await admin(`requests/${first}/move`, 'POST')).status).toBe(409);
    expect((await admin(`requests/${first}/cancel`, 'POST')).status).toBe(200);
    await expect.poll(entries).toMatchObject([{ id: second }]);
    expect((await admin(`requests/${second}/cancel`, 'POST')).status).toBe(200);
    await expect.poll(entries).toEqual([]);
    await fleet.addWorker();
  });
});
