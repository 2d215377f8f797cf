import { expect, test } from 'vitest';
import { chat, createJob, readEvents } from '../harness/api.ts';
import { startFleet } from '../harness/fleet.ts';

test('a deadline ends a request that still waits, and takes it out of the queue', async () => {
  await using fleet = await startFleet({ workers: 0, models: { quick: 'healthy:tokens=5' } });
  const response = fetch(`${fleet.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-millrace-deadline': '1s' },
    body: JSON.stringify({ ...chat('quick'), stream: true }),
  });
  const id = await createJob(fleet.url, chat('quick'), { deadline: '1s' });
  const call = readEvents(fleet.url, id);
  await call.ended;
  expect(call.text).toContain('deadline_exceeded');
  const { status, headers } = await response;
  expect(status).toBe(504);
  expect(headers.get('x-should-retry')).toBe('false');
  await fleet.addWorker();
  expect(fleet.primary.requests).toHaveLength(0);
});
