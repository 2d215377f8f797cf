import { afterAll, beforeAll, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';

const ask = (model: string, stream: boolean) =>
  fetch(`${fleet.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, stream, messages: [{ role: 'user', content: 'hi' }] }),
  });

let fleet: Fleet;
beforeAll(async () => {
  const targets = [
    { provider: 'primary', model: 'status:code=500' },
    { provider: 'backup', model: 'healthy:tokens=5' },
  ];
  fleet = await startFleet({ models: { quick: 'healthy:tokens=5', rescued: { targets } } });
});
afterAll(() => fleet?.close());

test('connections to a provider are used again, after streams and after whole answers', async () => {
  for (let i = 0; i < 20; i++) await (await ask('quick', i % 2 === 0)).text();
  expect(fleet.primary.requests).toHaveLength(20);
  // A second one may be opened when the last response is not quite over.
  expect(fleet.primary.connections.total).toBeLessThanOrEqual(2);
});

test('a backup has its connection before anybody needs it, and a failover opens none', async () => {
  await expect.poll(() => fleet.backup.connections).toEqual({ open: 1, total: 1 });
  expect(fleet.backup.requests).toEqual([]);
  const answer = await ask('rescued', false);
  expect(answer.status).toBe(200);
  await answer.text();
  expect(fleet.backup.connections).toEqual({ open: 1, total: 1 });
});
