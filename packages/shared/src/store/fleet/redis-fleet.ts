import type { Redis } from 'ioredis';
import { isJsonObject, readJsonObject } from '../../domain/json.ts';
import { orderMessage } from '../../domain/order.ts';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';
import type { Announcement, Announcer, Fleet, FleetProcess, ProcessRole } from './port.ts';

export type RedisFleetOptions = {
  redis: Redis;
  keys: Keyspace;
  /** @defaultValue announcementTtlMs */
  ttlMs?: number;
};

/** Milliseconds after which a process that has not announced itself again is gone: several announcements may fail. */
export const announcementTtlMs = 15_000;
/** Milliseconds that the order of a process that does not announce itself any more still stands for it. */
const orderTtlMs = 3_600_000;

const load = (name: string) => loadScript(new URL(`lua/${name}.lua`, import.meta.url));
const scripts = { announce: load('announce'), list: load('list') };

/** All keys are in shard 0, as the processes' channels are. */
export function createRedisFleet(options: RedisFleetOptions): Fleet & Announcer {
  const { redis, keys, ttlMs = announcementTtlMs } = options;
  const [processes, leases, orders] = [keys.processes(), keys.processLeases(), keys.orders()];

  /** A process is subscribed to its channel while it lives; the control plane has none, and takes no orders. */
  const channelOf = ({ role, name }: Announcement): string | undefined => {
    if (role === 'admin') return undefined;
    return role === 'worker' ? keys.worker(0, name) : keys.inbox(0, name);
  };

  async function listening(channels: readonly string[]): Promise<Set<string>> {
    if (channels.length === 0) return new Set();
    const reply = (await redis.call('PUBSUB', 'SHARDNUMSUB', ...channels)) as (string | number)[];
    return new Set(channels.filter((_, index) => Number(reply[2 * index + 1]) > 0));
  }

  async function list(): Promise<FleetProcess[]> {
    const texts = (await runScript(redis, scripts.list, [processes, leases], [])) as string[];
    const found = texts.flatMap((text) => parseAnnouncement(text) ?? []);
    const channels = found.flatMap((one) => channelOf(one) ?? []);
    const open = await listening(channels);
    const isListening = (one: Announcement) => {
      const channel = channelOf(one);
      return channel === undefined || open.has(channel);
    };
    return found.map((one) => ({ ...one, isListening: isListening(one) })).sort(byRoleAndName);
  }

  return {
    list,

    async send(name, order, signal) {
      const found = (await list()).find((one) => one.name === name);
      const channel = found && channelOf(found);
      if (!found || channel === undefined || !found.isListening) return 'gone';
      if (found.stage === 'stopping') return 'stopping';
      // During an outage of Redis the list was waited for.
      signal?.throwIfAborted();
      // Before the message: the process asks for its order when it announces what it has done. A `resume` is kept as well, so
      // that an order that is missing is one that Redis has lost. Announcements extend the key's life on the primary alone.
      await Promise.all([redis.hset(orders, name, order), redis.pexpire(orders, 2 * orderTtlMs)]);
      const heard = Number(await redis.spublish(channel, orderMessage + order));
      if (heard > 0) return 'sent';
      await redis.hdel(orders, name);
      return 'gone';
    },

    async announce(announcement) {
      const touched = [processes, leases, orders];
      const args = [announcement.name, JSON.stringify(announcement), ttlMs, orderTtlMs];
      const order = await runScript(redis, scripts.announce, touched, args);
      return order === 'drain' || order === 'resume' ? order : undefined;
    },

    async remove(name) {
      await Promise.all([
        redis.zrem(leases, name),
        redis.hdel(processes, name),
        redis.hdel(orders, name),
      ]);
    },
  };
}

const roles: readonly ProcessRole[] = ['ingress', 'worker', 'admin'];

const byRoleAndName = (a: Announcement, b: Announcement): number =>
  roles.indexOf(a.role) - roles.indexOf(b.role) || (a.name < b.name ? -1 : 1);

/** Undefined if the text is no announcement, as from another version or another program. */
function parseAnnouncement(text: string): Announcement | undefined {
  const value = readJsonObject(text);
  if (!value) return undefined;
  const { name, role, stage, startedAt, counts } = value;
  const isKnown = roles.some((one) => one === role) && typeof name === 'string';
  const isWhole =
    typeof stage === 'string' && typeof startedAt === 'number' && isJsonObject(counts);
  return isKnown && isWhole ? (value as Announcement) : undefined;
}
