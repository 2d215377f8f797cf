import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ask, requestId } from '../kit/client.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, jsonOf } from '../kit/http.ts';
import { chunks } from '../kit/judge.ts';

// What operators see of requests under way, and what they can do with them.

const tokens = 400;
const slow = `healthy:tokens=${tokens},pace=20`;

let fleet: Fleet;

beforeAll(async () => {
  const two = [
    { provider: 'primary', model: slow },
    { provider: 'backup', model: slow },
  ];
  fleet = await startFleet({ admin: true, models: { slow, two: { targets: two } } });
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
    // The provider sends one every 20 ms.
    const span = (times.at(-1) ?? 0) - (times[0] ?? 0);
    expect(span).toBeGreaterThan(20 * (times.length - 1) * 0.5);
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
        timeout: 15_000,
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
