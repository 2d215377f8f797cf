import type { BreakerConfig } from '@millrace/shared/config';
import { createRedisGossip } from '@millrace/shared/store/gossip/redis-gossip';
import { keyspace } from '@millrace/shared/store/keys';
import type { Keyspace } from '@millrace/shared/store/keys';
import { afterEach, beforeEach, expect, it, onTestFinished } from 'vitest';
import { createHealth } from '../../apps/worker/src/upstream/health/health.ts';
import type { Health, StateKind } from '../../apps/worker/src/upstream/health/port.ts';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

// What workers know of their providers together, over a real Redis that comes and goes.

const target = { provider: 'openai', model: 'meta-llama/Llama-3' };

const policy: BreakerConfig = {
  enabled: true,
  windowMs: 30_000,
  calls: 20,
  errorRate: 10,
  failures: 5,
  probeIntervalMs: 60_000,
  rampMs: 200,
};

let server: TestRedis;
let keys: Keyspace;
beforeEach(async () => {
  server = await startRedis();
  keys = keyspace(`health-${crypto.randomUUID().slice(0, 8)}`);
});
afterEach(() => server.close());

type Member = {
  health: Health;
  /** Resolves when the target is, or becomes, like that. */
  is(state: StateKind): Promise<void>;
};

async function join(worker: string, rules: Partial<BreakerConfig> = {}): Promise<Member> {
  const waiting = new Set<() => void>();
  const redis = server.connect();
  const health = createHealth({
    // While Redis is away its connections are lost, and that is no failure.
    bus: createRedisGossip({
      keys,
      owner: worker,
      redis,
      connect: () => server.connect(),
      onError: () => {},
    }),
    worker,
    breakerOf: () => ({ ...policy, ...rules }),
    onChange: () => {
      for (const look of waiting) look();
    },
    onError: () => {},
  });
  onTestFinished(() => health.close());
  await redis.ping();
  return {
    health,
    is: (state) =>
      new Promise((resolve) => {
        const look = () => {
          if (health.stateOf(target) !== state) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

/** Both hear each other. */
async function joinBoth(rules: Partial<BreakerConfig> = {}): Promise<[Member, Member]> {
  const [one, two] = [await join('one', rules), await join('two', rules)];
  await expectTogether(one, two);
  return [one, two];
}

async function expectTogether(...members: Member[]): Promise<void> {
  for (const { health } of members) {
    await expect.poll(() => health.snapshot().workers).toBe(members.length);
  }
}

/** Told as a distance, so the way of the word is in it. */
function expectSameTime(...members: [Member, Member]): void {
  const [one, two] = members.map(({ health }) => health.nextTryAt(target) ?? NaN);
  expect(Math.abs((one ?? NaN) - (two ?? NaN))).toBeLessThan(policy.probeIntervalMs / 2);
}

function fail({ health }: Member): void {
  for (let i = 0; i < 5; i++) {
    health.started(target)({ kind: 'fault', fault: { code: 'upstream_reset', message: 'no' } });
  }
}

it('what one worker finds broken, the others and those who come later know', async () => {
  const [one, two] = await joinBoth();
  fail(one);
  await two.is('open');
  expect(two.health.admit(target)).toBe('no');
  expectSameTime(one, two);
  const late = await join('late');
  await late.is('open');
});

it('calls under way are counted over all workers', async () => {
  const [one, two] = await joinBoth();
  const tell = one.health.started(target);
  two.health.started(target);
  for (const { health } of [one, two]) await expect.poll(() => health.inFlight(target)).toBe(2);
  tell({ kind: 'ok', firstTokenMs: 120 });
  await expect.poll(() => two.health.inFlight(target)).toBe(1);
  await expect.poll(() => two.health.firstTokenMs(target)).toBe(120);
});

it('one worker probes, and with its success the target comes back for all', async () => {
  const [one, two] = await joinBoth({ probeIntervalMs: 50 });
  fail(one);
  await Promise.all([one.is('half-open'), two.is('half-open')]);
  const won = await Promise.all([one.health.claimProbe(target), two.health.claimProbe(target)]);
  expect(won.filter(Boolean)).toHaveLength(1);
  const prober = won[0] ? one : two;
  prober.health.started(target)({ kind: 'first-token', ms: 80 });
  await Promise.all([one.is('closed'), two.is('closed')]);
  const redis = server.connect();
  await expect.poll(() => redis.exists(keys.sharedStates())).toBe(0);
  await expect.poll(() => redis.keys('*')).toEqual([]);
});

it('while Redis is away each worker goes by its own, and afterwards they agree', async () => {
  const [one, two] = await joinBoth();
  await server.kill('SIGTERM');
  await expect
    .poll(() => {
      two.health.started(target)({ kind: 'void' });
      return two.health.counters().pulses.dropped;
    })
    .toBeGreaterThan(0);
  fail(one);
  expect(one.health.admit(target)).toBe('no');
  expect(two.health.admit(target)).toBe('yes');

  await server.start();
  await two.is('open');
  await expectTogether(one, two);
  expectSameTime(one, two);
  const late = await join('late');
  await late.is('open');
});

it('a Redis that lost everything is told again', async () => {
  const [one] = await joinBoth();
  fail(one);
  const redis = server.connect();
  await expect.poll(() => redis.exists(keys.sharedStates())).toBe(1);
  await redis.flushall();
  await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await expect.poll(() => redis.exists(keys.sharedStates())).toBe(1);
});
