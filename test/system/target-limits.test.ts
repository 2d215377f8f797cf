import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, askWhole, cancelJob, createJob, getJob } from '../kit/client.ts';
import type { Stream } from '../kit/client.ts';
import { expectWhole, readPlain } from '../kit/judge.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call } from '../kit/http.ts';
import { OWN_TEXT, startOwnProvider } from '../kit/own-provider.ts';
import type { OwnProvider } from '../kit/own-provider.ts';
import { upstreamsOf, waitingAt } from '../kit/upstreams.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import type { Simulator } from '../../apps/simulator/src/index.ts';

// What a provider allows, per target and per key, kept by a fleet of two workers; and whose turn it is.

const seeded = expectedText({ tokens: 5, seed: 3 });
const perMinute = (requestsPerMinute: number) => ({ limits: { requestsPerMinute } });
const healthy = (provider: string, seed: number, more: object = {}) => ({
  provider,
  model: `healthy:tokens=5,seed=${seed}`,
  ...more,
});
const askedOf = ({ requests }: Simulator, seed: number): number =>
  requests.filter(({ model }) => model === healthy('', seed).model).length;

describe('two workers', () => {
  const keys = ['sk-limited-1111-aaaa', 'sk-revoked-2222-bbbb', 'sk-working-3333-cccc'];
  const [limited = '', revoked = '', working = ''] = keys;
  const statuses: Record<string, { status: number; headers?: Record<string, string> }> = {
    [limited]: { status: 429, headers: { 'retry-after': '60' } },
    [revoked]: { status: 401 },
    [working]: { status: 200 },
  };
  const paused = 'status:code=429,retryAfterMs=300,times=1,tokens=5';
  let provider: OwnProvider;
  let fleet: Fleet;
  beforeAll(async () => {
    provider = await startOwnProvider({
      reply: ({ headers }) => statuses[keyOf(headers)] ?? { status: 500 },
    });
    const baseUrl = `http://127.0.0.1:${provider.port}/v1`;
    const own = (apiKeys: string[]) => ({ api: 'openai', baseUrl, apiKeys });
    fleet = await startFleet({
      admin: true,
      workers: 2,
      health: true,
      models: {
        shared: { targets: [healthy('primary', 1, perMinute(10)), healthy('backup', 1)] },
        impatient: { targets: [healthy('primary', 2, perMinute(3))], maxWait: '200ms' },
        waits: { targets: [healthy('primary', 3, perMinute(2))] },
        tokens: {
          targets: [
            healthy('primary', 4, { limits: { tokensPerMinute: 1000 } }),
            healthy('backup', 4),
          ],
        },
        limited: { targets: [{ provider: 'limited', model: 'limited' }] },
        revoked: { targets: [{ provider: 'revoked', model: 'revoked' }] },
        alone: { targets: [{ provider: 'alone', model: 'alone' }], maxWait: '200ms' },
        paused: {
          targets: [{ provider: 'primary', model: paused }, healthy('backup', 40)],
        },
      },
      config: {
        limits: { workerConcurrency: 4 },
        providers: {
          limited: own([limited, working]),
          revoked: own([revoked, working]),
          alone: own([limited]),
        },
      },
    });
  });
  afterAll(async () => {
    await fleet?.close();
    await provider?.close();
  });

  const keyOf = (headers: { authorization?: string | undefined }): string =>
    String(headers.authorization).replace('Bearer ', '');

  describe('limits of targets', () => {
    test('are never exceeded by two workers, and the rest goes to the next target', async () => {
      const crowd = Array.from({ length: 40 }, () => askWhole(fleet.url, 'shared'));
      for (const one of crowd) expect((await readWhole(one)).status).toBe(200);
      expect(askedOf(fleet.primary, 1)).toBe(10);
      expect(askedOf(fleet.backup, 1)).toBe(30);
      // Both had their part in it.
      const busy = async () =>
        (await upstreamsOf(fleet.url)).filter(
          ({ upstreams }) => (upstreams.pools['backup']?.requests ?? 0) > 0,
        ).length;
      await expect.poll(busy).toBe(2);
    });

    test('in tokens count what a request may use', async () => {
      // 600 at a time: two are too many for a minute.
      const body = { max_tokens: 600 };
      await Promise.all(
        Array.from({ length: 6 }, () => readWhole(askWhole(fleet.url, 'tokens', { body }))),
      );
      expect(askedOf(fleet.primary, 4) + askedOf(fleet.backup, 4)).toBe(6);
      expect(askedOf(fleet.backup, 4)).toBeGreaterThan(0);
      expect(askedOf(fleet.primary, 4)).toBeGreaterThan(0);
    });

    test('are a 503 that says when, where there is no other target and no more patience', async () => {
      const crowd = Array.from({ length: 8 }, () => ask(fleet.url, 'impatient'));
      const answers = await Promise.all(crowd.map(readPlain));
      expect(answers.filter(({ end }) => end === 'whole')).toHaveLength(3);
      for (const { head, error } of answers.filter(({ end }) => end === 'error')) {
        expect(head.status).toBe(503);
        expect(error).toMatchObject({ code: 'no_target_available' });
        const seconds = Number(head.headers['retry-after']);
        expect(seconds).toBeGreaterThan(1);
        expect(seconds).toBeLessThanOrEqual(62);
      }
      expect(askedOf(fleet.primary, 2)).toBe(3);
    });

    test('let a job wait that comes too much', async () => {
      for (let i = 0; i < 2; i++) await expectWhole(ask(fleet.url, 'waits'), seeded);
      const job = await createJob(fleet.url, 'waits');
      await expect.poll(() => waitingAt(fleet.url)).toBe(1);
      expect(await getJob(fleet.url, job)).toMatchObject({ status: 'running', attempts: [] });
      expect(await cancelJob(fleet.url, job)).toMatchObject({ status: 'cancelled' });
      await expect.poll(() => waitingAt(fleet.url)).toBe(0);
      expect(askedOf(fleet.primary, 3)).toBe(2);
    });
  });

  describe('keys of a provider', () => {
    const usesOf = (key: string, model: string): number =>
      provider.requests.filter(
        ({ headers, body }) => keyOf(headers) === key && body.model === model,
      ).length;
    const serve = (alias: string) => expectWhole(ask(fleet.url, alias), OWN_TEXT);

    test('take turns no longer when one has a 429: the other serves all', async () => {
      for (let i = 0; i < 6; i++) await serve('limited');
      await expect
        .poll(async () => JSON.stringify(await keyRings('limited')))
        .toMatch(/closed_until.*closed_until/);
      const before = usesOf(limited, 'limited');
      // One for each worker at most: what one learned it told the other.
      expect(before).toBeGreaterThanOrEqual(1);
      expect(before).toBeLessThanOrEqual(2);
      await Promise.all(Array.from({ length: 12 }, () => serve('limited')));
      expect(usesOf(limited, 'limited')).toBe(before);
      expect(usesOf(working, 'limited')).toBe(18);
    });

    test('are set aside when they are refused, and nobody sees that', async () => {
      for (let i = 0; i < 6; i++) await serve('revoked');
      await expect
        .poll(async () => (await keyRings('revoked')).map((ring) => ring.map(isAside)))
        .toEqual([
          [true, false],
          [true, false],
        ]);
      const before = usesOf(revoked, 'revoked');
      expect(before).toBeGreaterThanOrEqual(1);
      expect(before).toBeLessThanOrEqual(2);
      for (let i = 0; i < 6; i++) await serve('revoked');
      expect(usesOf(revoked, 'revoked')).toBe(before);
    });

    test('that rest longer than requests wait are a 429 that says when, also for those that ask nobody', async () => {
      for (const stream of [0, 1, 2, 3].map((at) => (at % 2 === 0 ? ask : askWhole))) {
        const { head, error } = await readPlain(stream(fleet.url, 'alone'));
        expect(head.status).toBe(429);
        expect(error?.code).not.toBe('no_target_available');
        const seconds = Number(head.headers['retry-after']);
        expect(seconds).toBeGreaterThan(50);
        expect(seconds).toBeLessThanOrEqual(60);
      }
      // One for each worker at most.
      expect(usesOf(limited, 'alone')).toBeLessThanOrEqual(2);
    });

    test('are waited for by the request that was told a short pause, backup or not', async () => {
      const job = await createJob(fleet.url, 'paused');
      await expect.poll(async () => (await getJob(fleet.url, job)).status).toBe('completed');
      const { attempts } = await getJob(fleet.url, job);
      expect(attempts.map(({ provider: name, outcome }) => [name, outcome])).toEqual([
        ['primary', 'upstream_rate_limited'],
        ['primary', 'completed'],
      ]);
      const [first, again] = fleet.primary.requests.filter(({ model }) => model === paused);
      expect((again?.arrivedAt ?? 0) - (first?.arrivedAt ?? Infinity)).toBeGreaterThanOrEqual(300);
    });

    test('are in no log, metric or page', async () => {
      const pages = await Promise.all(
        ['/metrics', '/admin/upstreams'].map((path) => call(`${fleet.url}${path}`)),
      );
      const logs = [...fleet.workers, ...fleet.ingresses].map(({ stderr }) => stderr());
      expect(logs.join('')).toContain('set aside');
      for (const shown of [...pages.map((page) => page.text), ...logs]) {
        for (const key of keys) expect(shown).not.toContain(key.slice(3));
      }
    });

    const keyRings = async (name: string) =>
      (await upstreamsOf(fleet.url)).map(({ upstreams }) => upstreams.selection.keys[name] ?? []);
    const isAside = ({ aside_until }: { aside_until?: number }): boolean =>
      aside_until !== undefined;
  });
});

describe('the order of service', () => {
  const fast = 'healthy:tokens=5,seed=30,first=5';
  const slow = 'healthy:tokens=5,seed=30,first=150';
  const long = 'healthy:tokens=5000,pace=20,seed=20';
  const pair = (seed: number, strategy: string, more: object = {}) => ({
    targets: [healthy('primary', seed), healthy('backup', seed)],
    strategy,
    ...more,
  });
  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await startFleet({
      admin: true,
      health: true,
      models: {
        failover: pair(10, 'failover'),
        turns: pair(11, 'round-robin'),
        weighted: {
          targets: [healthy('primary', 12, { weight: 1 }), healthy('backup', 12, { weight: 9 })],
          strategy: 'weighted',
        },
        sticky: pair(13, 'round-robin', { sticky: 'user' }),
        loaded: {
          targets: ['primary', 'backup'].map((provider) => ({ provider, model: long })),
          strategy: 'least-loaded',
        },
        quick: {
          targets: [
            { provider: 'primary', model: slow },
            { provider: 'backup', model: fast },
          ],
          strategy: 'latency',
        },
      },
    });
  });
  afterAll(() => fleet?.close());

  /** Who answered, request by request. */
  async function served(alias: string, count: number, body: Record<string, unknown> = {}) {
    const by: string[] = [];
    for (let i = 0; i < count; i++) {
      const { headers } = await readWhole(ask(fleet.url, alias, { body }));
      by.push(String(headers['x-millrace-served-by']).split('/')[0] ?? '');
    }
    return by;
  }
  const count = (names: readonly string[], name: string): number =>
    names.filter((one) => one === name).length;

  test('failover asks the first as long as it can', async () => {
    expect(new Set(await served('failover', 6))).toEqual(new Set(['primary']));
  });

  test('round-robin takes turns', async () => {
    const by = await served('turns', 8);
    for (const [i, name] of by.entries()) expect(name).toBe(by[i % 2]);
    expect(new Set(by).size).toBe(2);
  });

  test('weighted asks more of who has more weight', async () => {
    const by = await served('weighted', 60);
    // 54 of 60 on average; below 41 once in a hundred thousand runs or so.
    expect(count(by, 'backup')).toBeGreaterThan(40);
  });

  test('least-loaded asks whoever has the fewest under way', async () => {
    const streams = [];
    for (let i = 1; i <= 6; i++) {
      streams.push(ask(fleet.url, 'loaded'));
      const under = ({ requests }: Simulator) => requests.filter(({ model }) => model === long);
      await expect.poll(() => under(fleet.primary).length + under(fleet.backup).length).toBe(i);
      const difference = under(fleet.primary).length - under(fleet.backup).length;
      expect(Math.abs(difference)).toBe(i % 2);
    }
    for (const stream of streams) stream.leave();
  });

  test('latency tries each of them out, and then asks the fastest', async () => {
    const seen = new Set<string>();
    // Of one that nobody knows a request in ten finds out.
    while (seen.size < 2) for (const name of await served('quick', 1)) seen.add(name);
    const by = await served('quick', 30);
    expect(count(by, 'backup')).toBeGreaterThan(20);
  });

  test('sticky keeps what belongs together at one target, with others for others', async () => {
    const homes = await Promise.all(
      Array.from({ length: 8 }, async (_, i) => {
        const by = new Set(await served('sticky', 4, { user: `sticky-${i}` }));
        expect(by.size).toBe(1);
        return [...by][0];
      }),
    );
    expect(new Set(homes)).toEqual(new Set(['primary', 'backup']));
  });
});

/** Any answer to its end; its head. */
async function readWhole(stream: Stream) {
  await stream.ended;
  return stream.head;
}
