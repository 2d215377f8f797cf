import { keyspace, queueName, shardOf } from '@millrace/shared/store/keys';
import type { Keyspace } from '@millrace/shared/store/keys';
import { createMemoryLog } from '@millrace/shared/store/stream-log/memory-log';
import type { Claim, LiveChannels, StreamLog } from '@millrace/shared/store/stream-log/port';
import { createRedisChannels } from '@millrace/shared/store/stream-log/redis-channels';
import { createRedisLog } from '@millrace/shared/store/stream-log/redis-log';
import { createTake } from '@millrace/shared/store/queue/take';
import type { Submit } from '@millrace/shared/store/submit/port';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import type { Redis } from '@millrace/shared/store/redis';
import { newRequest } from '@millrace/shared/store/submit/request.fixture';
import type { TestRedis } from '../kit/redis.ts';
import { metaOf } from './log-steps.ts';

/** One adapter with a store of its own, and what a test may do to that store behind its back. */
export type LogUnderTest = {
  log: StreamLog;
  submit: Submit;
  /** Makes a request; its id. */
  create(inbox?: string, shard?: number): Promise<string>;
  /** Ids of the requests that have a job which waits. */
  waiting(): Promise<string[]>;
  channels: LiveChannels;
  /** The end of life of one request comes. */
  expire(id: string): Promise<void>;
  /** Remembers the store; the returned function goes back to it, as a failover to a late replica. */
  snapshot(): Promise<() => Promise<void>>;
};

export const shards = 2;
export const lifetimeMs = 600_000;
export const retentionMs = 300_000;

export function openMemoryLog(): LogUnderTest {
  const clock = { now: 0 };
  const memory = createMemoryLog({ now: () => clock.now, lifetimeMs, retentionMs });
  return {
    log: memory.log,
    submit: memory.submit,
    create: creating(memory.submit),
    waiting: async () => [...memory.jobs.keys()],
    channels: memory.channels,
    // Each test has a store of its own, and no other request is asked for after this.
    expire: async () => {
      clock.now += lifetimeMs;
    },
    snapshot: async () => {
      const goBack = memory.snapshot();
      return async () => goBack();
    },
  };
}

export type RedisLogUnderTest = LogUnderTest & { redis: Redis; keys: Keyspace };

const creating =
  (submit: Submit) =>
  async (inbox?: string, shard = 0): Promise<string> => {
    const meta = metaOf(shard);
    await submit(newRequest(meta, { body: '{"model":"gpt-4o"}', inbox }));
    return meta.id;
  };

let opened = 0;

/** A namespace of its own on a Redis that many tests share. */
export function openRedisLog(server: TestRedis): RedisLogUnderTest {
  opened += 1;
  const keys = keyspace(`test${opened}-${crypto.randomUUID().slice(0, 8)}`);
  const redis = server.connect();
  const channels = createRedisChannels({
    keys,
    shards,
    redis,
    connect: () => server.connect(),
    // While a test restarts its Redis, connections are lost, and that is no failure.
    onError: () => {},
  });
  const submit = createRedisSubmit({ redis, keys, lifetimeMs, retentionMs });
  return {
    log: createRedisLog({ redis, keys, lifetimeMs, retentionMs }),
    submit,
    create: creating(submit),
    async waiting() {
      const queues = Array.from({ length: shards }, (_, shard) =>
        redis.zrange(`${keys.tag(shard)}:${queueName}:prioritized`, '0', '-1'),
      );
      return (await Promise.all(queues)).flat();
    },
    channels,
    redis,
    keys,
    async expire(id) {
      await redis.del(keys.request(id), keys.log(id), keys.body(id));
    },
    async snapshot() {
      const names = await keysOf(redis, keys);
      const dumps = await Promise.all(names.map((name) => redis.dumpBuffer(name)));
      return async () => {
        const present = await keysOf(redis, keys);
        if (present.length > 0) await redis.del(...present);
        for (const [i, name] of names.entries()) {
          const dump = dumps[i];
          if (dump) await redis.restore(name, lifetimeMs, dump);
        }
      };
    },
  };
}

/**
 * The same, where the script seals that takes the jobs: its nonces have the number of the job behind the token. A
 * job is there for each seal, and is activated for the time that the claim says.
 */
export function openTakenLog(server: TestRedis): LogUnderTest {
  const opened = openRedisLog(server);
  const { redis, keys, log } = opened;

  async function sealNow(id: string, { activation, nonce: token, worker }: Claim) {
    const shard = shardOf(id);
    const toKey = (name: string) => `${keys.tag(shard)}:${queueName}:${name}`;
    // In front of all, also where the request has no job, or was taken before.
    await redis.hset(toKey(id), { name: 'm', data: '{}', opts: '{}', ats: activation - 1 });
    await redis.zadd(toKey('prioritized'), 1, id);
    const take = createTake({
      redis,
      keys,
      shard,
      queue: { toKey },
      name: worker,
      lockMs: 30_000,
      lifetimeMs,
    });
    const taken = await take({ token, jobs: 1, workers: 1, uncounted: 0, skipped: new Set() });
    const outcome = taken?.jobs[0]?.sealed?.outcome;
    if (taken?.jobs.length !== 1 || !outcome) throw new Error('one job, sealed');
    return outcome;
  }

  // One after the other: who takes gets the job that is in front.
  let before: Promise<unknown> = Promise.resolve();
  function seal(id: string, claim: Claim) {
    const sealed = before.then(() => sealNow(id, claim));
    before = sealed.catch(() => {});
    return sealed;
  }

  const numbered = (nonce: string) => `${nonce}:1`;
  return {
    ...opened,
    log: {
      ...log,
      seal,
      append: (shard, items, at) =>
        log.append(
          shard,
          items.map((item) => ({ ...item, nonce: numbered(item.nonce) })),
          at,
        ),
      amend: (id, nonce, lines) => log.amend(id, numbered(nonce), lines),
    },
  };
}

/** Every key of the namespace, found as a stranger would find it: by looking at all of them. */
export async function keysOf(redis: Redis, keys: Keyspace): Promise<string[]> {
  return (await redis.keys('*')).filter((name) => name.includes(keys.namespace));
}
