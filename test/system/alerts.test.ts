import { afterAll, beforeAll, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf, jsonOf } from '../kit/http.ts';

// What needs an operator's attention in a fleet that runs.

let fleet: Fleet;

beforeAll(async () => {
  fleet = await startFleet({ admin: true, models: { small: 'healthy:tokens=5' } });
});
afterAll(() => fleet?.close());

type Item = {
  id: string;
  code: string;
  severity: string;
  title: string;
  detail: string;
  since_at: string;
  link: string;
};

async function attention(): Promise<Item[]> {
  const answer = await call(`${fleet.url}/admin/attention`, { method: 'GET' });
  expect(answer.status).toBe(200);
  return (jsonOf(answer) as { data: Item[] }).data;
}

const order = (what: 'open' | 'close') =>
  call(`${fleet.url}/admin/upstreams/primary%2Fhealthy:tokens=5/${what}`, { method: 'POST' });

test('a target that an operator opens is listed since then, and so is the model that has no other', async () => {
  await order('close');
  await expect.poll(attention).toEqual([]);
  const from = Date.now();
  await order('open');
  const [model, target, ...others] = await attention();
  expect(others).toEqual([]);
  expect(model).toMatchObject({ id: 'model_unavailable:small', severity: 'critical' });
  expect(target).toMatchObject({
    code: 'target_held',
    severity: 'info',
    detail: expect.stringContaining('opened by local'),
    link: '/admin/console/upstreams',
  });
  for (const item of [model, target]) {
    expect(Date.parse(item?.since_at ?? '')).toBeGreaterThanOrEqual(from - 1);
  }
  const again = await attention();
  expect(again[0]?.since_at).toBe(model?.since_at);
  await order('close');
  await expect.poll(attention).toEqual([]);
});

test('a worker that is killed is missed', async () => {
  await fleet.killWorkers();
  // The fleet forgets a dead worker after a while.
  await expect
    .poll(async () => (await attention()).map(({ code }) => code))
    .toContainEqual(expect.stringMatching(/^(workers_silent|no_worker)$/));
  await fleet.addWorker();
  await expect
    .poll(async () => (await attention()).filter(({ severity }) => severity === 'critical'))
    .toEqual([]);
});

test('an unknown parameter is refused', async () => {
  const answer = await call(`${fleet.url}/admin/attention?limit=3`, { method: 'GET' });
  expect(answer.status).toBe(400);
  expect(errorOf(answer)).toMatchObject({ code: 'invalid_parameter', param: 'limit' });
});
