import { expect, test } from 'vitest';
import { chat, createJob, readEvents } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import { call } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';

test('a deadline ends a request that still waits, and takes it out of the queue', async () => {
  await using fleet = await startFleet({
    workers: 0,
    ingresses: 2,
    models: { quick: 'healthy:tokens=5' },
  });
  const response = fetch(`${fleet.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-millrace-deadline': '1s' },
    body: JSON.stringify({ ...chat('quick'), stream: true }),
  });
  const id = await createJob(fleet.url, chat('quick'), { deadline: '1s' });
  const events = readEvents(fleet.url, id);
  await events.ended;
  const { event, data = '' } = events.events.at(-1) ?? {};
  expect([event, JSON.parse(data)]).toMatchObject([
    'failed',
    { error: { code: 'deadline_exceeded' } },
  ]);
  const { status, headers } = await response;
  expect(status).toBe(504);
  expect(headers.get('x-should-retry')).toBe('false');
  // Every ingress sees it, and each is counted once.
  const shed = await Promise.all(
    fleet.ingresses.map(async ({ url }) =>
      sumOf(parsePrometheus((await call(`${url}/metrics`)).text), 'millrace_requests_shed_total', {
        reason: 'overdue',
      }),
    ),
  );
  expect(shed.reduce((total, count) => total + count)).toBe(2);
  await fleet.addWorker();
  expect(fleet.primary.requests).toHaveLength(0);
});
