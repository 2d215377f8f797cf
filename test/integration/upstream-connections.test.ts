import { expect, test } from 'vitest';
import { startFleet } from '../harness/fleet.ts';

const ask = (url: string, stream: boolean) =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'quick', stream, messages: [{ role: 'user', content: 'hi' }] }),
  });

test('connections to a provider are used again, after streams and after whole answers', async () => {
  await using fleet = await startFleet({ models: { quick: 'healthy:tokens=5' } });
  for (let i = 0; i < 20; i++) await (await ask(fleet.url, i % 2 === 0)).text();
  expect(fleet.primary.requests).toHaveLength(20);
  // A second one may be opened when the last response is not quite over.
  expect(fleet.primary.connections.total).toBeLessThanOrEqual(2);
});
