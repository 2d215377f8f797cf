import { afterAll, beforeAll, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { metricAt, statesOf, upstreamsOf } from '../kit/upstreams.ts';
import { expectedText, startSimulator } from '../../apps/simulator/src/index.ts';
import type { Simulator } from '../../apps/simulator/src/index.ts';
import { ask } from '../kit/client.ts';
import { chunks, expectWhole } from '../kit/judge.ts';
import { expectAlive } from '../kit/observe.ts';

// A target that fails is left alone by the whole fleet, and asked again when it is well.

/** Its page is the provider's message, which may repeat the request. */
const dead = 'status:code=500,body=html,key=dead';
/** Broken off five times it opens; its first probe fails, and the second finds it well. */
const healsOf = (number: number) => `role-only:times=6,tokens=5,key=heals-${number}`;
const shaky = 'status:code=500,times=1,tokens=5';
const four = 'role-only:times=4,tokens=5';
const breaks = 'cut:after=30,pace=20';
const short = expectedText({ tokens: 5 });

const backedUp = (provider: string, model: string, backup = 'healthy:tokens=5') => ({
  targets: [
    { provider, model },
    { provider: 'backup', model: backup, prefill: true },
  ],
});

let sick: Simulator;
let fleet: Fleet;
beforeAll(async () => {
  sick = await startSimulator({ name: 'sick' });
  const provider = { api: 'openai', baseUrl: `${sick.url}/v1` };
  fleet = await startFleet({
    admin: true,
    workers: 2,
    health: true,
    models: {
      dead: backedUp('lasting', dead, 'healthy:tokens=5,first=100'),
      // What fails six times does so once: a second try has a model of its own.
      'heals-0': backedUp('brief', healsOf(0)),
      'heals-1': backedUp('brief', healsOf(1)),
      shaky: backedUp('lasting', shaky),
      four: backedUp('lasting', four),
      breaks: backedUp('lasting', breaks, 'prefill'),
    },
    config: {
      limits: { workerConcurrency: 6 },
      providers: {
        lasting: { ...provider, breaker: { probeInterval: '10m' } },
        brief: { ...provider, breaker: { probeInterval: '300ms', ramp: '300ms' } },
      },
    },
  });
});
afterAll(async () => {
  await fleet?.close();
  await sick?.close();
});

const askedOf = (model: string) => sick.requests.filter((request) => request.model === model);

/** One whole answer; who gave it. */
async function serve(alias: string, text = short, body: Record<string, unknown> = {}) {
  const { head } = await expectWhole(ask(fleet.url, alias, { body }), text);
  return String(head.headers['x-millrace-served-by']);
}

async function open(provider: string, model: string): Promise<void> {
  await expect.poll(() => statesOf(fleet.url, provider, model)).toEqual(['open', 'open']);
}

test('a target that fails is asked by no worker any more, and nobody waits for it', async () => {
  await expect
    .poll(async () => (await upstreamsOf(fleet.url)).map((one) => one.upstreams.health.workers))
    .toEqual([2, 2]);
  for (let i = 0; i < 3; i++) expect(await serve('dead')).toMatch(/^backup\//);
  // Twice, twice, and the fifth failure opens it: the third request does not try again.
  expect(askedOf(dead)).toHaveLength(5);
  await open('lasting', dead);

  const before = await upstreamsOf(fleet.url);
  const crowd = await Promise.all(Array.from({ length: 12 }, () => serve('dead')));
  expect(crowd.every((by) => by.startsWith('backup/'))).toBe(true);
  expect(askedOf(dead)).toHaveLength(5);
  // By both workers: none has more than six requests at a time.
  const requestsOf = (rows: typeof before, name: string) =>
    rows.find((row) => row.name === name)?.upstreams.pools['backup']?.requests ?? 0;
  for (const { name } of before) {
    await expect
      .poll(async () => requestsOf(await upstreamsOf(fleet.url), name))
      .toBeGreaterThan(requestsOf(before, name));
  }
});

test('its state, the change and the calls are in the metrics', async () => {
  const labels = { provider: 'lasting', model: dead };
  await expect.poll(() => metricAt(fleet.url, 'millrace_breaker_state', labels)).toBe(2 * 3);
  const opened = { ...labels, state: 'open' };
  expect(await metricAt(fleet.url, 'millrace_breaker_transitions_total', opened)).toBe(1);
  // Why, since when, until when: at every worker, and once in the log of the one that decided.
  for (const { upstreams } of await upstreamsOf(fleet.url)) {
    const { targets } = upstreams.health as unknown as { targets: Record<string, unknown>[] };
    expect(targets.find(({ model }) => model === dead)).toMatchObject({
      state: 'open',
      since: expect.any(Number),
      next_probe_at: expect.any(Number),
      last_fault: { code: 'upstream_server_error', http_status: 500, at: expect.any(Number) },
    });
  }
  const lines = fleet.workers.flatMap(({ stderr }) => stderr().split('\n'));
  const told = lines.filter((line) => line.includes('the breaker of a target'));
  expect(
    told.filter((line) => line.includes(dead) && line.includes('upstream_server_error')),
  ).toHaveLength(1);
  expect(told.join('\n')).not.toContain('(simulated)');
  const pool = { provider: 'lasting' };
  expect(await metricAt(fleet.url, 'millrace_pool_requests_total', pool)).toBeGreaterThanOrEqual(5);
  expect(
    await metricAt(fleet.url, 'millrace_pool_connections', { provider: 'backup' }),
  ).toBeGreaterThan(0);
});

test('a worker that comes later leaves it alone from its first request on', async () => {
  const late = await fleet.addWorker();
  try {
    await expect.poll(() => statesOf(fleet.url, 'lasting', dead)).toEqual(['open', 'open', 'open']);
  } finally {
    await late.stop();
    fleet.workers.splice(fleet.workers.indexOf(late), 1);
  }
  expect(askedOf(dead)).toHaveLength(5);
});

test('when it is well again a probe finds out, and it serves again', async ({ task }) => {
  const number = task.result?.retryCount ?? 0;
  const [alias, heals] = [`heals-${number}`, healsOf(number)];
  for (let i = 0; i < 5; i++) expect(await serve(alias)).toMatch(/^backup\//);
  expect(askedOf(heals)).toHaveLength(5);
  // Nobody but requests brings it back: a good list of models says nothing of failed answers.
  await expect.poll(() => serve(alias), { interval: 30 }).toMatch(/^brief\//);
  await expect
    .poll(async () => {
      await Promise.all(Array.from({ length: 3 }, () => serve(alias)));
      return statesOf(fleet.url, 'brief', heals);
    })
    .toEqual(['closed', 'closed']);
  // The five that opened it, one probe that failed, and no other met the fault.
  const answers = askedOf(heals);
  expect(answers.slice(0, 6).every(({ tokens }) => tokens === 0)).toBe(true);
  expect(answers.slice(6).every(({ tokens }) => tokens === 5)).toBe(true);
  expect((answers[6]?.arrivedAt ?? 0) - (answers[5]?.arrivedAt ?? 0)).toBeGreaterThanOrEqual(300);

  const probes = (outcome: string) =>
    metricAt(fleet.url, 'millrace_breaker_probes_total', {
      provider: 'brief',
      model: heals,
      outcome,
    });
  await expect.poll(() => probes('ok')).toBe(1);
  expect(await probes('failed')).toBe(1);
  const labels = { provider: 'brief', model: heals };
  // A worker's metrics are as old as its last report.
  await expect.poll(() => metricAt(fleet.url, 'millrace_breaker_state', labels)).toBe(0);
});

test('single failures in light traffic open nothing', async () => {
  // Each user's first request fails, its repetition does not.
  for (let i = 0; i < 6; i++) {
    expect(await serve('shaky', short, { user: `shaky-${i}` })).toMatch(/^lasting\//);
  }
  expect(askedOf(shaky)).toHaveLength(12);
  // Each request asks it twice.
  for (let i = 0; i < 2; i++) expect(await serve('four')).toMatch(/^backup\//);
  expect(await serve('four')).toMatch(/^lasting\//);
  for (const model of [shaky, four]) {
    await expect.poll(() => statesOf(fleet.url, 'lasting', model)).toEqual(['closed', 'closed']);
  }
});

test('failures while Redis is away break nothing, and count when it is back', async () => {
  const streams = Array.from({ length: 8 }, () => ask(fleet.url, 'breaks'));
  await Promise.all(streams.map((stream) => stream.until(chunks(5))));
  await fleet.redis.kill('SIGTERM');
  await expect.poll(() => askedOf(breaks).every(({ state }) => state !== 'open')).toBe(true);
  await fleet.redis.start();
  for (const stream of streams) await expectWhole(stream, expectedText({ tokens: 60 }));

  await open('lasting', breaks);
  const asked = askedOf(breaks).length;
  await serve('breaks', expectedText({ tokens: 60 }));
  expect(askedOf(breaks)).toHaveLength(asked);
  // What was known before is known still.
  await open('lasting', dead);
  await serve('dead');
  expect(askedOf(dead)).toHaveLength(5);
  expectAlive([...fleet.ingresses, ...fleet.workers]);
});

test('a Redis that lost everything is told what is broken', async () => {
  await fleet.redis.connect().flushall();
  await fleet.redis.kill('SIGTERM');
  await fleet.redis.start();
  await open('lasting', dead);
  await serve('dead');
  expect(askedOf(dead)).toHaveLength(5);
  expectAlive([...fleet.ingresses, ...fleet.workers]);
});
