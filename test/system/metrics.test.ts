import { hostname } from 'node:os';
import { keyspace } from '@millrace/shared/store/keys';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask } from '../kit/client.ts';
import { expectWhole } from '../kit/judge.ts';
import { chat, complete, stream, upstreamOf } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, FleetOptions, RoleProcess } from '../kit/fleet.ts';
import { call, errorOf, jsonOf } from '../kit/http.ts';
import { expressions } from '../kit/observability.ts';
import { lintMetrics } from '../kit/metrics-lint.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import type { Sample } from '../kit/prometheus.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';

const cut = 'cut:after=40';
const slow = 'healthy:tokens=2000,pace=50';
const models = {
  cut: {
    targets: [
      { provider: 'primary', model: cut },
      { provider: 'backup', model: 'prefill', prefill: true },
    ],
  },
  healthy: 'healthy:tokens=10',
  slow,
};

let fleet: Fleet;
const start = async (options: FleetOptions = {}): Promise<void> => {
  fleet = await startFleet({ admin: true, models, ...options });
};

type WorkerRow = { name: string; at: number; process: { host: string; pid: number; runs: number } };

async function scrape(url = fleet.url): Promise<Sample[]> {
  const page = await call(`${url}/metrics`);
  expect(page.status).toBe(200);
  expect(page.headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
  return parsePrometheus(page.text);
}

const counted = async (name: string, labels: Record<string, string> = {}) =>
  sumOf(await scrape(), name, labels);

/** The workers whose metrics an ingress shows. */
const workersAt = async (url = fleet.url) =>
  [...new Set((await scrape(url)).flatMap(({ labels }) => labels['worker'] ?? []))].sort();

const upstreams = async (url = fleet.url) =>
  (jsonOf(await call(`${url}/admin/upstreams`)) as { workers: WorkerRow[] }).workers;

/** The workers' names, once every one of them has reported. */
async function namesOf(workers: readonly RoleProcess[]): Promise<string[]> {
  await expect.poll(() => upstreams()).toHaveLength(workers.length);
  const rows = await upstreams();
  return workers.map(
    ({ child }) => rows.find(({ process: { pid } }) => pid === child.pid)?.name ?? '?',
  );
}

describe('one worker', () => {
  beforeAll(() => start());
  afterAll(() => fleet?.close());

  test('a rescued answer is told by its attempts, its seam, its times and its tokens, by clean names', async () => {
    await expectWhole(ask(fleet.url, 'cut'), expectedText({ tokens: 60 }));

    // The last that it counts: a report that has it has all.
    await expect.poll(() => counted('millrace_runs_total', { outcome: 'completed' })).toBe(1);
    const samples = await scrape();
    const sum = (name: string, labels: Record<string, string>) => sumOf(samples, name, labels);
    expect(sum('millrace_seams_total', { rung: 'continue', outcome: 'passed' })).toBe(1);
    const primary = { provider: 'primary', model: cut };
    const backup = { provider: 'backup', model: 'prefill' };
    const attempts = samples.filter(({ name }) => name === 'millrace_attempts_total');
    expect(attempts.map(({ labels: { worker: _, ...labels }, value }) => [labels, value])).toEqual([
      [{ ...primary, mode: 'start', outcome: 'upstream_reset' }, 1],
      [{ ...backup, mode: 'continue', outcome: 'completed' }, 1],
    ]);
    for (const target of [primary, backup]) {
      expect(sum('millrace_first_token_seconds_count', target)).toBe(1);
      expect(sum('millrace_first_token_seconds_bucket', { ...target, le: '120' })).toBe(1);
      expect(sum('millrace_attempt_seconds_count', target)).toBe(1);
    }
    expect(sum('millrace_tokens_total', { ...primary, estimated: 'true' })).toBeGreaterThan(0);
    expect(sum('millrace_tokens_total', { ...backup, estimated: 'false' })).toBeGreaterThan(0);
    expect(sum('millrace_runs_active', {})).toBe(0);
    const done = { model: 'cut', outcome: 'completed' };
    expect(sum('millrace_requests_total', done)).toBe(1);
    expect(sum('millrace_responses_total', { ...done, status: '200' })).toBe(1);
    expect(sum('millrace_request_seconds_count', done)).toBe(1);
    expect(sum('millrace_request_first_token_seconds_count', { model: 'cut' })).toBe(1);
    for (const kind of ['input', 'output']) {
      expect(sum('millrace_request_tokens_total', { model: 'cut', kind })).toBeGreaterThan(0);
    }
    expect(sum('millrace_queue_wait_seconds_count', { class: 'normal' })).toBe(1);
    expect(lintMetrics((await call(`${fleet.url}/metrics`)).text)).toEqual([]);
  });

  test('operators see how much of each pool is used, what is set aside, and what the fleet consists of', async () => {
    const samples = await scrape();
    const one = (name: string, labels: Record<string, string> = {}) => {
      const found = samples.filter((sample) => sample.name === name);
      const matching = found.filter(({ labels: has }) =>
        Object.entries(labels).every(([key, value]) => has[key] === value),
      );
      return matching.map(({ value }) => value);
    };
    const [limit = 0] = one('millrace_pool_connections_limit', { provider: 'primary' });
    const used = one('millrace_pool_connections', { provider: 'primary' });
    expect(limit).toBeGreaterThanOrEqual(used.reduce((sum, value) => sum + value, 0));
    expect(used.length).toBeGreaterThan(0);
    expect(one('millrace_provider_key_set_aside', { provider: 'primary', key: '0' })).toEqual([0]);
    expect(one('millrace_model_targets', { model: 'cut', state: 'all' })).toEqual([2]);
    expect(one('millrace_model_targets', { model: 'cut', state: 'not_open' })).toEqual([2]);
    expect(one('millrace_processes', { role: 'worker', stage: 'serving' })).toEqual([1]);
    expect(one('millrace_processes', { role: 'ingress', stage: 'serving' })).toEqual([1]);
    expect(one('millrace_control_plane_up')).toEqual([1]);
    expect(one('millrace_ledger_backlog_entries')).toHaveLength(1);
    expect(one('millrace_queue_oldest_wait_seconds')).toEqual([0]);
    expect(one('millrace_connections_open')[0]).toBeGreaterThan(0);
    expect(one('millrace_connection_memory_bytes')).toHaveLength(1);
    expect(one('millrace_fairness_index')).toEqual([1]);
  });

  test('every metric that the alert rules and the dashboards use is shown', async () => {
    const named = [
      ...expressions()
        .join('\n')
        .matchAll(/millrace_\w+/g),
    ].map(([name]) => name);
    const page = (await call(`${fleet.url}/metrics`)).text;
    const shown = new Set(
      [...page.matchAll(/^# TYPE (\S+) (\S+)/gm)].flatMap(([, name = '', type]) =>
        type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
      ),
    );
    expect(named.length).toBeGreaterThan(30);
    expect([...new Set(named)].filter((name) => !shown.has(name))).toEqual([]);
  });

  test('a model that nobody serves makes no series', async () => {
    const before = new Set((await scrape()).map(({ labels }) => labels['model']));
    for (let i = 0; i < 3; i++) {
      expect((await complete(fleet.url, chat(`made-up-${i}`)).ended).status).toBe(404);
    }
    const after = (await scrape()).map(({ labels }) => labels['model']);
    expect(after.filter((model) => !before.has(model))).toEqual([]);
  });

  test('while Redis is away an ingress tells of itself, and of the workers when it is back', async () => {
    const names = await namesOf(fleet.workers);
    const before = await counted('millrace_runs_total', { outcome: 'completed' });
    expect((await complete(fleet.url, chat('healthy')).ended).status).toBe(200);

    await fleet.redis.kill('SIGTERM');

    const samples = await scrape();
    expect(sumOf(samples, 'millrace_responses_total', { model: 'healthy' })).toBe(1);
    expect(samples.flatMap(({ labels }) => labels['worker'] ?? [])).toEqual([]);
    // A 0 would say that no worker runs, and that no queue is paused.
    const ofRedis = new Set(['millrace_workers', 'millrace_queue_paused', 'millrace_queue_jobs']);
    expect(samples.filter(({ name }) => ofRedis.has(name))).toEqual([]);
    const refusal = await call(`${fleet.url}/admin/upstreams`);
    expect(refusal.status).toBe(503);
    expect(Number(refusal.headers['retry-after'])).toBeGreaterThan(0);
    expect(errorOf(refusal)).toMatchObject({ type: 'server_error', code: 'queue_unavailable' });

    await fleet.redis.start();

    await expect.poll(() => workersAt()).toEqual(names);
    const completed = () => counted('millrace_runs_total', { outcome: 'completed' });
    await expect.poll(completed).toBe(before + 1);
  });
});

describe('two workers', () => {
  beforeAll(() => start({ workers: 2, ingresses: 2 }));
  afterAll(() => fleet?.close());

  test('operators are told of every worker where it runs', async () => {
    await namesOf(fleet.workers);
    const rows = await upstreams();
    expect(rows.map(({ name }) => name)).toEqual(rows.map(({ name }) => name).sort());
    expect(new Set(rows.map(({ process: { pid } }) => pid))).toEqual(
      new Set(fleet.workers.map(({ child }) => child.pid)),
    );
    for (const row of rows) {
      expect(row).toEqual({
        name: expect.stringMatching(/^worker-/),
        at: expect.any(Number),
        process: {
          host: hostname(),
          pid: expect.any(Number),
          started_at: expect.any(Number),
          runs: 0,
          paused_shards: [],
          loop_delay_max_ms: expect.any(Number),
        },
        intake: {
          places: 64,
          running: 0,
          waiting: 0,
          loop_delay_ms: expect.any(Number),
          models: {},
          put_back: {},
        },
        upstreams: {
          pools: expect.any(Object),
          health: expect.any(Object),
          selection: expect.any(Object),
        },
      });
    }
  });

  test('what is under way is seen, and what its client left is counted as aborted', async () => {
    const leaving = stream(fleet.url, 'slow');
    await upstreamOf(fleet.primary, slow);
    await expect.poll(() => counted('millrace_runs_active')).toBe(1);
    await expect
      .poll(async () =>
        (await upstreams()).map(({ process: { runs } }) => runs).toSorted((a, b) => a - b),
      )
      .toEqual([0, 1]);

    leaving.leave();

    await expect.poll(() => counted('millrace_runs_active')).toBe(0);
    expect(await counted('millrace_attempts_total', { outcome: 'aborted' })).toBe(1);
  });

  test('a report that nobody can read takes nothing from the others', async () => {
    const names = await namesOf(fleet.workers);
    const keys = keyspace();
    const redis = fleet.redis.connect();
    await redis.hset(keys.beats(0), 'stranger', '1');
    const metrics = [{ name: 'millrace_runs_active', type: 'gauge', help: 'h', values: [{}] }];
    for (const text of ['{', JSON.stringify({ at: 1, metrics: [...metrics, 1], sections: {} })]) {
      await redis.set(keys.report('stranger'), text);
      expect(await workersAt()).toEqual(names.toSorted());
    }
    await redis.hdel(keys.beats(0), 'stranger');
    await redis.del(keys.report('stranger'));
  });

  test('a worker that leaves in order takes its report along', async () => {
    const [first] = fleet.workers as [RoleProcess];
    const [leaving = '', staying = ''] = await namesOf(fleet.workers);
    const { report } = keyspace();
    const redis = fleet.redis.connect();

    expect(await first.stop('SIGTERM')).toBe(0);
    fleet.workers.shift();

    expect(await redis.exists(report(leaving), report(staying))).toBe(1);
    expect(await workersAt()).toEqual([staying]);
  });

  test('what workers count is seen at every ingress, by worker, and goes with them', async () => {
    await fleet.addWorker();
    const [first] = fleet.workers as [RoleProcess];
    const [dying = '', staying = ''] = await namesOf(fleet.workers);

    await expectWhole(ask(fleet.url, 'cut'), expectedText({ tokens: 60 }));

    for (const { url } of fleet.ingresses) {
      const seams = async () => sumOf(await scrape(url), 'millrace_seams_total');
      await expect.poll(seams).toBe(1);
      expect(await workersAt(url)).toEqual([dying, staying].sort());
    }
    await first.stop('SIGKILL');
    for (const { url } of fleet.ingresses) {
      await expect.poll(() => workersAt(url)).toEqual([staying]);
      expect((await upstreams(url)).map(({ name }) => name)).toEqual([staying]);
    }
  });
});
