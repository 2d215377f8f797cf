import { afterEach, expect, test } from 'vitest';
import { cancelJob, createJob, getJob } from '../kit/client.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { expectRequests, getLedger } from '../kit/ledger.ts';
import type { LedgerRequest } from '../kit/ledger.ts';
import { slowAnswer } from '../kit/takeover.ts';

// The ledger has each ended request once, whichever process is killed.

let fleet: Fleet;
afterEach(() => fleet?.close());

const price = { input: 1, output: 10 };
const { models } = slowAnswer(60);
const targets = models.pair.targets.map((target) => ({ ...target, price }));
const quick = { targets: [{ provider: 'primary', model: 'healthy:tokens=5', price }] };

const isEnded = async (id: string): Promise<boolean> =>
  ['completed', 'failed', 'cancelled'].includes((await getJob(fleet.url, id)).status);

async function allEnded(ids: readonly string[]): Promise<void> {
  await expect
    .poll(async () => (await Promise.all(ids.map(isEnded))).filter((ended) => !ended).length)
    .toBe(0);
}

test('a worker, an ingress and the control plane that are killed with jobs under way lose and double none', async () => {
  fleet = await startFleet({
    workers: 2,
    ingresses: 2,
    admin: true,
    models: { pair: { targets } },
  });
  const count = 60;
  const ids: string[] = [];
  for (let i = 0; i < count; i++) ids.push(await createJob(fleet.url, 'pair'));
  await expect.poll(() => fleet.primary.requests.length).toBe(count);

  const [worker] = fleet.workers as [RoleProcess];
  const [, ingress] = fleet.ingresses as [RoleProcess, RoleProcess];
  const [admin] = fleet.admins as [RoleProcess];
  await Promise.all([worker, ingress, admin].map((role) => role.stop('SIGKILL')));
  await expect.poll(() => fleet.backup.requests.length).toBeGreaterThan(0);
  fleet.hurry();
  await allEnded(ids);
  await fleet.addAdmin();

  const rows = await expectRequests(fleet, count);
  expect(rows.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
  expect(new Set(rows.map(({ status }) => status))).toEqual(new Set(['completed']));
  const again = rows.filter(({ attempts }) => attempts.length > 1);
  expect(again).toHaveLength(fleet.backup.requests.length);
  expect(again.filter(({ rescues }) => rescues > 0).length).toBeGreaterThan(0);
});

test('a control plane that is killed again and again stores what the provider billed, once', async () => {
  fleet = await startFleet({ workers: 1, admin: true, models: { quick } });
  const count = 150;
  const ids: string[] = [];
  const stored = async () =>
    (await getLedger<{ data: { requests: number }[] }>(fleet, 'usage')).data;
  for (let kills = 0; kills < 3; kills++) {
    const before = (await stored())[0]?.requests ?? 0;
    const round = Promise.all(
      Array.from({ length: count / 3 }, () => createJob(fleet.url, 'quick')),
    );
    // It has stored some of these when it is killed; which ones it has at work differs.
    await expect
      .poll(async () => (await stored().catch(() => []))[0]?.requests ?? 0, { interval: 5 })
      .toBeGreaterThan(before);
    await (fleet.admins.pop() as RoleProcess).stop('SIGKILL');
    ids.push(...(await round));
    await fleet.addAdmin();
  }
  await allEnded(ids);
  await expect.poll(async () => (await stored())[0]?.requests).toBe(count);
  const billed = fleet.primary.requests.reduce((sum, { tokens }) => sum + tokens, 0);
  const [row] = await getLedger<{ data: Record<string, number>[] }>(fleet, 'usage').then(
    ({ data }) => data,
  );
  expect(row).toMatchObject({ requests: count, output_tokens: billed, failed: 0, unpriced: 0 });
  const { input_tokens: input = 0, cost = 0 } = row ?? {};
  expect(cost).toBeCloseTo((input + billed * 10) / 1e6, 6);
});

test('a request that is cancelled after its worker died has the attempts that the log shows, at an unknown cost', async () => {
  fleet = await startFleet({ workers: 1, admin: true, models: { pair: { targets } } });
  const id = await createJob(fleet.url, 'pair');
  await expect.poll(() => fleet.primary.requests.length).toBe(1);
  await fleet.killWorkers();
  await cancelJob(fleet.url, id);
  const get = () => getLedger<LedgerRequest>(fleet, `requests/${id}`).catch(() => undefined);
  await expect.poll(get).toMatchObject({ status: 'cancelled', cost: null });
  // After the ten seconds in which its worker could have sent them.
  await expect.poll(async () => (await get())?.attempts.length).toBe(1);
  expect(await get()).toMatchObject({
    status: 'cancelled',
    cost: null,
    attempts: [{ provider: 'primary', outcome: 'unknown' }],
  });
});
