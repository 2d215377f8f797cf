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
