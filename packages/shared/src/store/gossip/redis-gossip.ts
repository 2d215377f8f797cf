import type { Redis } from 'ioredis';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';
import { StoreSilent } from '../outage.ts';
import { withTimeout } from '../../runtime/timeout.ts';
import { statesTtlMs, maxStates } from './port.ts';
import { listen } from '../subscription.ts';
import type { SharedState, Gossip, SetOutcome } from './port.ts';

export type RedisGossipOptions = {
  keys: Keyspace;
  /** Unique to this process. */
  owner: string;
  /** For commands. */
  redis: Redis;
  /** A connection of its own for each subscription: a subscribed one takes no other command. */
  connect: () => Redis;
  onError: (error: unknown) => void;
};

/** Milliseconds that Redis may take for one command; after that the outcome is `away`. */
const answerTimeoutMs = 1000;
/** Most texts that are sent and not confirmed yet, so that they do not pile up while Redis does not answer. */
const maxUnderWay = 100;

const load = (name: string) => loadScript(new URL(`lua/${name}.lua`, import.meta.url));
const scripts = {
  claim: load('claim-lease'),
  release: load('release-lease'),
  changeState: load('change-state'),
};

/** A channel, a hash and one string for each lease, all in one slot. */
export function createRedisGossip(options: RedisGossipOptions): Gossip {
  const { keys, owner, redis, connect, onError } = options;
  const channel = keys.gossip();
  let underWay = 0;
  let published = 0;
  let dropped = 0;

  /** Asks Redis only while it is connected: a command that waited for it would come too late. */
  async function ask<T>(question: () => Promise<T>): Promise<T | undefined> {
    if (redis.status !== 'ready') return undefined;
    try {
      return await withTimeout(
        question(),
        answerTimeoutMs,
        () => new StoreSilent('the fleet: Redis is silent'),
      );
    } catch (error) {
      onError(error);
      return undefined;
    }
  }

  async function changeState(
    field: string,
    seen: string | undefined,
    version: string | undefined,
    text: string,
  ): Promise<SetOutcome> {
    const args = [field, seen ?? '', version ?? '', text, statesTtlMs, maxStates];
    const reply = await ask(() =>
      runScript(redis, scripts.changeState, [keys.sharedStates()], args),
    );
    const [kind, value] = (reply ?? []) as [string?, string?];
    if (kind === 'set') return { kind, version };
    if (kind === 'changed') return { kind, state: parseState(value) };
    return kind === 'full' ? { kind } : { kind: 'away' };
  }

  return {
    owner,

    publish(text) {
      if (redis.status !== 'ready' || underWay >= maxUnderWay) {
        dropped += 1;
        return;
      }
      underWay += 1;
      redis
        .spublish(channel, text)
        .then(
          () => (published += 1),
          () => (dropped += 1),
        )
        .finally(() => (underWay -= 1));
    },

    subscribe: (events) => listen(connect(), channel, events, onError),

    async states() {
      const fields = await ask(() => redis.hgetall(keys.sharedStates()));
      if (!fields) return { kind: 'away' };
      const states = new Map<string, SharedState>();
      for (const [field, value] of Object.entries(fields)) {
        const state = parseState(value);
        if (state) states.set(field, state);
      }
      return { kind: 'states', states };
    },

    setState: (field, text, seen) => changeState(field, seen, crypto.randomUUID(), text),
    clearState: (field, seen) => changeState(field, seen, undefined, ''),

    async claim(name, ttlMs) {
      const args = [owner, Math.max(1, Math.round(ttlMs))];
      const reply = await ask(() =>
        runScript(redis, scripts.claim, [keys.gossipLease(name)], args),
      );
      if (reply === undefined) return 'away';
      return reply === 1 ? 'claimed' : 'taken';
    },

    async release(name) {
      await ask(() => runScript(redis, scripts.release, [keys.gossipLease(name)], [owner]));
    },

    counters: () => ({ published, dropped }),
  };
}

function parseState(value: string | null | undefined): SharedState | undefined {
  const space = value?.indexOf(' ') ?? -1;
  if (!value || space < 0) return undefined;
  return { version: value.slice(0, space), text: value.slice(space + 1) };
}
