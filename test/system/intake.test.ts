import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, cancelJob, createJob, getJob } from '../kit/client.ts';
import { expectWhole } from '../kit/judge.ts';
import { observeQueue } from '../kit/observe.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, FleetOptions, RoleProcess } from '../kit/fleet.ts';
import { startOwnProvider } from '../kit/own-provider.ts';
import type { OwnProvider } from '../kit/own-provider.ts';
import { metricAt, upstreamsOf } from '../kit/upstreams.ts';
import { expectedText, startSimulator } from '../../apps/simulator/src/index.ts';
import type { Simulator } from '../../apps/simulator/src/index.ts';

// How much workers take: nothing that could only wait for room at its target, and what their loops carry.

let fleet: Fleet;
const start = async (options: FleetOptions) => {
  fleet = await startFleet({ admin: true, health: true, ...options });
};
afterAll(() => fleet?.close());

/** Most of these polls look at each of a few hundred jobs. */
const inTime = { timeout: 30_000, interval: 250 };
const free = { targets: [{ provider: 'primary', model: 'healthy:tokens=5,seed=9' }] };
const freeText = expectedText({ tokens: 5, seed: 9 });

/** A batch for one model, in order. */
async function createJobs(model: string, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) ids.push(await createJob(fleet.url, model));
  return ids;
}

const look = async (ids: readonly string[]) => {
  const jobs = await Promise.all(ids.map((id) => getJob(fleet.url, id)));
  const count = (status: string) => jobs.filter((job) => job.status === status).length;
  return { jobs, completed: count('completed'), failed: count('failed'), queued: count('queued') };
};

const putBack = () => metricAt(fleet.url, 'millrace_worker_put_back_total');

const askedOf = (model: string) =>
  fleet.primary.requests.filter((request) => request.model === model).length;

describe('two workers, and jobs of a model whose target is at its limit', () => {
  const perMinute = 30;
  const many = 100;
  const limited = 'healthy:tokens=5,seed=1';
  const limits = { requestsPerMinute: perMinute };

  let narrow: Simulator;
  let provider: OwnProvider;
  let isOpen = false;
  beforeAll(async () => {
    narrow = await startSimulator({ name: 'narrow' });
    provider = await startOwnProvider({
      reply: () => (isOpen ? {} : { status: 429, headers: { 'retry-after': '1' } }),
    });
    const baseUrl = `http://127.0.0.1:${provider.port}/v1`;
    const few = { connections: 2, wait: '20ms' };
    await start({
      workers: 2,
      models: {
        closed: { targets: [{ provider: 'own', model: 'm' }], maxWait: '3s' },
        narrow: {
          targets: [{ provider: 'narrow', model: 'healthy:tokens=5,first=100' }],
          maxWait: '2s',
        },
        // Much less patience than the minute that they have to wait for.
        limited: { targets: [{ provider: 'primary', model: limited, limits }], maxWait: '300ms' },
        free,
      },
      config: {
        providers: {
          own: { api: 'openai', baseUrl, apiKeys: ['sk-limited-0001'] },
          narrow: { api: 'openai', baseUrl: `${narrow.url}/v1`, pool: few },
        },
      },
    });
  });
  afterAll(async () => {
    await fleet?.close();
    await Promise.all([narrow?.close(), provider?.close()]);
  });

  test('are all served when there is room again', async () => {
    const ids = await createJobs('closed', 100);
    await expect.poll(putBack, inTime).toBeGreaterThan(0);
    await expectWhole(ask(fleet.url, 'free'), freeText);
    isOpen = true;
    await expect.poll(async () => (await look(ids)).completed, inTime).toBe(100);
    const { jobs } = await look(ids);
    for (const job of jobs) {
      expect(job.attempts.at(-1)).toMatchObject({ outcome: 'completed' });
    }
    // A job has one attempt for each request that the provider got for it, and none for its time in the
    // queue: how many of them the provider refused first depends on the speed of the machine.
    const attempts = jobs.flatMap((job) => job.attempts);
    expect(attempts).toHaveLength(provider.requests.length);
    expect(jobs.filter((job) => job.attempts.length === 1).length).toBeGreaterThan(0);
  });

  test('are served in turns where few connections may be had, with no patience for one', async () => {
    const ids = await createJobs('narrow', 60);
    await expectWhole(ask(fleet.url, 'free'), freeText);
    await expect.poll(async () => (await look(ids)).completed, inTime).toBe(60);
    // Each was asked for once: nobody waited in vain for a connection.
    const { jobs } = await look(ids);
    expect(new Set(jobs.map(({ attempts }) => attempts.length))).toEqual(new Set([1]));
  });

  test('stay in the queue: what fits is served, nothing fails, and others are served beside them', async () => {
    const queue = observeQueue(fleet);
    const ids = await createJobs('limited', many);
    await expect.poll(async () => (await look(ids)).completed, inTime).toBe(perMinute);
    // Those that wait at a worker come to the end of their patience, again and again.
    const before = await putBack();
    await expect.poll(putBack, inTime).toBeGreaterThan(before + 5);
    await expectWhole(ask(fleet.url, 'free'), freeText);

    const { jobs, completed, failed, queued } = await look(ids);
    expect({ completed, failed }).toEqual({ completed: perMinute, failed: 0 });
    expect(queued).toBeGreaterThan(many - perMinute - 20);
    // Who came first was served first, but for those that were on their way side by side.
    const last = jobs.findLastIndex(({ status }) => status === 'completed');
    expect(last).toBeLessThan(perMinute + 40);
    const rest = jobs.filter(({ status }) => status !== 'completed');
    expect(rest.flatMap(({ attempts }) => attempts)).toEqual([]);
    // Few are held; which ones changes while this looks.
    await expect.poll(async () => (await queue.counts()).active).toBeLessThanOrEqual(4);
    expect(askedOf(limited)).toBe(perMinute);
    expect(await metricAt(fleet.url, 'millrace_runs_total', { outcome: 'failed' })).toBe(0);

    // One that waits can be cancelled as ever.
    const [waiting = ''] = ids.slice(-1);
    expect(await cancelJob(fleet.url, waiting)).toMatchObject({ status: 'cancelled' });
  });
});

describe('a worker that others help', () => {
  const lost = 'prefill:tokens=400,pace=200';
  const limits = { requestsPerMinute: 5 };
  beforeAll(() =>
    start({
      workers: 0,
      models: {
        slow: 'healthy:tokens=3000,pace=1000',
        lost: { targets: [{ provider: 'primary', model: lost, prefill: true, limits }] },
      },
    }),
  );

  test('whose loop is late takes a few streams, and leaves the others to one whose loop is not', async () => {
    const offered = 100;
    const late = await fleet.addWorker(undefined, './busy-loop.ts');
    const streams = Array.from({ length: offered }, () => ask(fleet.url, 'slow'));
    const rowOf = async ({ child }: RoleProcess) =>
      (await upstreamsOf(fleet.url)).find(({ process }) => process.pid === child.pid)?.intake;
    const queue = observeQueue(fleet);
    await expect.poll(() => queue.counts(), inTime).toMatchObject({ waiting: 36, active: 64 });
    await expect.poll(() => rowOf(late), inTime).toMatchObject({ places: 64, running: 64 });

    const other = await fleet.addWorker();
    await expect.poll(() => queue.counts(), inTime).toMatchObject({ waiting: 0, active: offered });
    await expect.poll(() => rowOf(other), inTime).toMatchObject({ running: 36 });
    expect(await rowOf(late)).toMatchObject({ places: 64, running: 64 });
    for (const stream of streams) stream.leave();
    await expect.poll(() => queue.counts(), inTime).toMatchObject({ waiting: 0, active: 0 });
    await fleet.killWorkers();
  });

  test('is dead: its jobs are taken over at once, whatever the others avoid', async () => {
    const first = await fleet.addWorker();
    const running = await createJobs('lost', 5);
    await expect.poll(() => askedOf(lost), inTime).toBe(5);
    const fresh = await createJobs('lost', 20);
    await fleet.addWorker();
    const avoiding = async () =>
      (await upstreamsOf(fleet.url)).filter(({ intake }) => intake.models['lost']?.avoided);
    await expect.poll(async () => (await avoiding()).length, inTime).toBe(2);

    await first.stop('SIGKILL');

    const takenOver = async () => {
      const { jobs } = await look(running);
      return jobs.filter(({ attempts }) => attempts[0]?.outcome === 'worker_lost').length;
    };
    // Written by who took them over, first of all.
    await expect.poll(takenOver, inTime).toBe(5);
    const { jobs, failed } = await look(fresh);
    expect(failed).toBe(0);
    expect(jobs.flatMap(({ attempts }) => attempts)).toEqual([]);
  });
});
