import { afterEach, expect, test } from 'vitest';
import { ask } from '../kit/client.ts';
import { budgetOf, reservationsOf } from '../kit/budgets.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { getLedger } from '../kit/ledger.ts';
import { startRedisProxy } from '../kit/redis-proxy.ts';
import type { RedisProxy } from '../kit/redis-proxy.ts';
import { slowAnswer } from '../kit/takeover.ts';

// What keys have spent is what the ledger has, whichever process is killed.

let fleet: Fleet;
let proxy: RedisProxy | undefined;
afterEach(async () => {
  await fleet?.close();
  await proxy?.close();
});

const price = { input: 1, output: 10 };
const targets = slowAnswer(60).models.pair.targets.map((target) => ({ ...target, price }));
const headers = { authorization: 'Bearer secret' };

/** Creates a job; false if its ingress died meanwhile. */
async function job(url: string): Promise<boolean> {
  const body = { model: 'pair', messages: [{ role: 'user', content: 'hello' }] };
  const answer = await fetch(`${url}/v1/jobs`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ body }),
  }).catch(() => undefined);
  if (answer && answer.status !== 202) throw new Error(`${answer.status} ${await answer.text()}`);
  return answer !== undefined;
}

test('the counters of a key equal the ledger after kills of an ingress, a worker and the control plane under load', async () => {
  fleet = await startFleet({
    workers: 2,
    ingresses: 1,
    admin: true,
    models: { pair: { targets } },
    config: {
      limits: { ownerGrace: '500ms' },
      keys: [
        { id: 'team', secret: 'secret', budget: { month: 100_000, tokensPerMonth: 1_000_000_000 } },
      ],
    },
  });
  const [one] = fleet.ingresses as [RoleProcess];
  proxy = await startRedisProxy(fleet.redis.url);
  const other = await fleet.addIngress(proxy.url);
  const streams = [one, other].flatMap(({ url }) =>
    Array.from({ length: 10 }, () => ask(url, 'pair', { headers })),
  );
  const early = await Promise.all(Array.from({ length: 20 }, () => job(one.url)));
  await expect.poll(() => fleet.primary.requests.length).toBe(40);
  expect(await reservationsOf(fleet, 'team')).toHaveLength(40);

  // The ingress dies between the reservations of requests and their creation.
  const held = proxy.holdAnswerTo('budget:team}:totals');
  const late = Array.from({ length: 20 }, () => job(other.url));
  await held;
  expect((await reservationsOf(fleet, 'team')).length).toBeGreaterThan(40);
  const [worker] = fleet.workers as [RoleProcess];
  const [admin] = fleet.admins as [RoleProcess];
  await Promise.all([other, worker, admin].map((role) => role.stop('SIGKILL')));
  fleet.hurry();
  const created = [...early, ...(await Promise.all(late))].filter(Boolean);
  expect(created).toHaveLength(20);
  await Promise.all(streams.map(({ ended }) => ended));
  await fleet.addAdmin();

  await expect.poll(() => reservationsOf(fleet, 'team'), { timeout: 60_000 }).toEqual([]);
  const { data } = await getLedger<{ data: Record<string, number>[] }>(fleet, 'usage?key=team');
  const {
    requests = 0,
    cost = 0,
    input_tokens: input = 0,
    output_tokens: output = 0,
  } = data[0] ?? {};
  // The late jobs were never created.
  expect(requests).toBe(40);
  expect(cost).toBeGreaterThan(0);
  expect(await budgetOf(fleet, 'team')).toMatchObject([
    { per: 'month', unit: 'USD', spent: cost, reserved: 0 },
    { per: 'month', unit: 'tokens', spent: input + output, reserved: 0 },
  ]);
});
