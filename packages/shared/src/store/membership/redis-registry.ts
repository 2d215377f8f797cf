import type { Redis } from 'ioredis';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';
import type { Registry, WorkerSign } from './port.ts';
import { bullKey } from '../queue/bullmq-layout.ts';

export type RedisRegistryOptions = {
  redis: Redis;
  keys: Keyspace;
  shard: number;
  /** Unique to this reaper. */
  reaper: string;
  /** Milliseconds that the lease outlives the last view of its holder. */
  leaseMs: number;
};

const load = (name: string) => loadScript(new URL(`lua/${name}.lua`, import.meta.url));
const scripts = { view: load('view'), releaseLease: load('release-lease') };

/** A view is one script: the lease, the workers and their subscribers, all of one moment. */
export function createRedisRegistry(options: RedisRegistryOptions): Registry {
  const { redis, keys, shard, reaper, leaseMs } = options;
  const lease = keys.reaper(shard);
  const list = keys.beats(shard);
  const queue = [bullKey.active, bullKey.wait, bullKey.prioritized].map((name) =>
    keys.queue(shard, name),
  );
  const touched = [lease, list, ...queue];
  /** Renews early enough that several views may fail in between. */
  const renewMs = Math.ceil((leaseMs * 2) / 3);

  /** The connections of these workers; undefined if this Redis user must not call CLIENT LIST. */
  async function clients(names: ReadonlySet<string>): Promise<Client[] | undefined> {
    try {
      const text = String(await redis.call('CLIENT', 'LIST'));
      return parseClients(text).filter(({ worker }) => names.has(worker));
    } catch (error) {
      if (isRefusal(error)) return undefined;
      throw error;
    }
  }

  return {
    async view(lead) {
      const args = [reaper, leaseMs, renewMs, lead ? 1 : 0, keys.worker(shard, '')];
      const reply = (await runScript(redis, scripts.view, touched, args)) as unknown[];
      const [leads, jobs] = reply;
      const signs: WorkerSign[] = [];
      for (let i = 2; i + 2 < reply.length; i += 3) {
        signs.push({
          name: String(reply[i]),
          beat: String(reply[i + 1]),
          listening: Number(reply[i + 2]) > 0,
        });
      }
      return { leads: leads === 1, jobs: Number(jobs), signs };
    },

    async connections(names) {
      const found = await clients(new Set(names));
      if (!found) return undefined;
      const counts = new Map(names.map((name) => [name, 0]));
      for (const { worker } of found) counts.set(worker, (counts.get(worker) ?? 0) + 1);
      return counts;
    },

    async disconnect(name) {
      const found = (await clients(new Set([name]))) ?? [];
      // A connection that is gone by now needs no closing: Redis ignores the kill.
      const kill = ({ id }: Client) => redis.call('CLIENT', 'KILL', 'ID', id);
      await Promise.all(found.map(kill)).catch((error: unknown) => {
        if (!isRefusal(error)) throw error;
      });
    },

    async remove(name) {
      // Leftovers of its offers do no harm, so a damaged key must not keep the worker registered.
      await Promise.allSettled([
        redis.zrem(keys.offers(shard), name),
        redis.hdel(keys.dispatches(shard), `sent:${name}`, `last:${name}`),
      ]);
      await redis.hdel(list, name);
    },

    async releaseLease() {
      await runScript(redis, scripts.releaseLease, [lease], [reaper]);
    },
  };
}

type Client = { id: string; worker: string };

/** The connection's own name is the worker's; BullMQ's blocking one puts its queue before it. */
function parseClients(text: string): Client[] {
  return text.split('\n').flatMap((line) => {
    const id = /^id=(\d+) /.exec(line)?.[1];
    const name = / name=(\S+) /.exec(line)?.[1];
    if (id === undefined || name === undefined) return [];
    return [{ id, worker: name.slice(name.lastIndexOf(':') + 1) }];
  });
}

/** The Redis user lacks the right, or the command was renamed. */
const isRefusal = (error: unknown): boolean =>
  error instanceof Error && /^(NOPERM|ERR unknown)/i.test(error.message);
