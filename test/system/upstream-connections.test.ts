import { expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';

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

test('a backup has its connection before anybody needs it, and a failover opens none', async () => {
  const targets = [
    { provider: 'primary', model: 'status:code=500' },
    { provider: 'backup', model: 'healthy:tokens=5' },
  ];
  await using fleet = await startFleet({ models: { quick: { targets } } });
  await expect.poll(() => fleet.backup.connections).toEqual({ open: 1, total: 1 });
  expect(fleet.backup.requests).toEqual([]);
  const answer = await ask(fleet.url, false);
  expect(answer.status).toBe(200);
  await answer.text();
  expect(fleet.backup.connections).toEqual({ open: 1, total: 1 });
});
