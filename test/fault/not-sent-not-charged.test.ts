import { afterAll, beforeAll, expect, test } from 'vitest';
import { chat } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf } from '../kit/http.ts';
import type { Ended } from '../kit/http.ts';

// A key does not pay for what never became a request.

/** What a key has used does not come back: each try of a test takes another one. */
const keyIds = ['a', 'b', 'c', 'd'];
const unused = [...keyIds];

let fleet: Fleet;
beforeAll(async () => {
  const limits = { requestsPerMinute: 9, tokensPerMinute: 100_000, concurrent: 5 };
  fleet = await startFleet({
    models: { short: 'healthy:tokens=10' },
    config: { keys: keyIds.map((id) => ({ id, secret: `secret-${id}`, limits })) },
  });
});
afterAll(() => fleet?.close());

const ask = (id: string): Promise<Ended> =>
  call(`${fleet.url}/v1/chat/completions`, {
    headers: { authorization: `Bearer secret-${id}` },
    body: chat('short', { max_tokens: 10_000 }),
  });

/** The key's rates as the next answer that is served tells them. */
async function remaining(id: string): Promise<{ requests: number; tokens: number }> {
  let answer: Ended | undefined;
  await expect
    .poll(async () => (answer = await ask(id)).status, { timeout: 30_000, interval: 200 })
    .toBe(200);
  const left = (name: string) => Number(answer?.headers[`x-ratelimit-remaining-${name}`]);
  return { requests: left('requests'), tokens: left('tokens') };
}

test('nor for what was refused while Redis was away', async () => {
  const id = unused.pop() ?? '';
  await fleet.redis.kill('SIGTERM');
  const answers = await Promise.all([ask(id), ask(id), ask(id)]);
  expect(answers.map((answer) => [answer.status, errorOf(answer).code])).toEqual(
    answers.map(() => [503, 'queue_unavailable']),
  );
  await fleet.redis.start();
  const left = await remaining(id);
  expect(left.requests).toBe(8);
  expect(left.tokens).toBeGreaterThan(85_000);
});

test('nor for what Redis had no memory for', async () => {
  const id = unused.pop() ?? '';
  const redis = fleet.redis.connect();
  expect((await ask(id)).status).toBe(200);
  await redis.config('SET', 'maxmemory', '1');
  const refused = await ask(id);
  expect([refused.status, errorOf(refused).code]).toEqual([503, 'queue_full']);
  await redis.config('SET', 'maxmemory', '0');
  expect((await remaining(id)).requests).toBe(7);
});
