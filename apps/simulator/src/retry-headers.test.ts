import { afterAll, beforeAll, expect, it } from 'vitest';
import { post } from './ask.ts';
import { postMessage } from './ask-messages.ts';
import type { Simulator } from './index.ts';
import { startSimulator } from './index.ts';
import { openAiChat } from './openai-chat/format.ts';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator();
});
afterAll(() => simulator.close());

const FORMATS = [
  ['/v1/chat/completions', post],
  ['/v1/messages', postMessage],
] as const;

it.each(FORMATS)('%s says when to come again as an HTTP date, never too early', async (_, send) => {
  const before = Date.now();
  const { status, headers } = await send(simulator.url, {
    model: 's01:retryAfterDate=1,retryAfter=3,times=0',
  });
  const value = headers.get('retry-after') ?? '';
  expect([status, value]).toEqual([429, expect.stringMatching(/^\w{3}, \d\d \w{3} .* GMT$/u)]);
  expect(Date.parse(value)).toBeGreaterThanOrEqual(before + 3000);
  expect(Date.parse(value)).toBeLessThan(Date.now() + 4000);
});

it.each(FORMATS)('%s says it in milliseconds', async (_, send) => {
  const { headers } = await send(simulator.url, { model: 'status:code=429,retryAfterMs=250' });
  expect([headers.get('retry-after-ms'), headers.get('retry-after')]).toEqual(['250', null]);
});

it('OpenAI says when its limits are reset as a duration', async () => {
  const { headers } = await post(simulator.url, { model: 'status:code=429,resetHeaders=1' });
  expect(headers.get('x-ratelimit-reset-requests')).toBe('1s');
  expect(headers.get('x-ratelimit-remaining-requests')).toBe('0');
  const durations = [59, 360, 3661].map(
    (seconds) => openAiChat.rateLimitHeaders(seconds, 0)['x-ratelimit-reset-requests'],
  );
  expect(durations).toEqual(['59s', '6m0s', '1h1m1s']);
});

it('Anthropic says it as a time', async () => {
  const before = Date.now();
  const { headers } = await postMessage(simulator.url, { model: 's02:resetHeaders=20' });
  const reset = headers.get('anthropic-ratelimit-requests-reset') ?? '';
  expect(reset).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/u);
  expect(Date.parse(reset)).toBeGreaterThanOrEqual(before + 20_000);
  expect(headers.get('x-ratelimit-reset-requests')).toBeNull();
});
