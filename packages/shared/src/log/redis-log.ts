import type { Redis } from 'ioredis';
import { formatEntryId, parseEntryId, unpack } from '../domain/entry.ts';
import type { EntryId, Line, TerminalKind } from '../domain/entry.ts';
import type { RequestMeta } from '../domain/request.ts';
import { shardOf } from '../keys.ts';
import type { Keyspace } from '../keys.ts';
import { frameHeader } from './frame.ts';
import type { AppendItem, AppendOutcome, Described, ReadOutcome, StreamLog } from './port.ts';
import { runScript, scripts } from './redis-scripts.ts';

export type RedisLogOptions = {
  redis: Redis;
  keys: Keyspace;
  /** How long an unfinished request is kept: the longest wait in the queue and the longest run. */
  lifetimeMs: number;
  /** How long a finished one can be read again. */
  retentionMs: number;
};

const appendStatus: Record<number, AppendOutcome> = {
  1: 'written',
  0: 'duplicate',
  [-1]: 'gone',
  [-2]: 'fenced',
  [-3]: 'ended',
};

/** The log on Redis or Valkey >= 7.0. Errors of the connection and of Redis itself are thrown as they come. */
export function createRedisLog({
  redis,
  keys,
  lifetimeMs,
  retentionMs,
}: RedisLogOptions): StreamLog {
  const allKeys = (id: string) => [keys.request(id), keys.log(id), keys.body(id)];
  const tag = (id: string) => keys.tag(shardOf(id));

  async function describe(id: string, inbox: string): Promise<Described | undefined> {
    const reply = await runScript(
      redis,
      scripts.describe,
      [keys.request(id), keys.log(id)],
      [inbox],
    );
    if (reply === null) return undefined;
    const [meta, last, ended] = reply as [string, string, TerminalKind | ''];
    return {
      meta: JSON.parse(meta) as RequestMeta,
      last: entryId(last),
      ended: ended === '' ? undefined : ended,
    };
  }

  return {
    async create(meta, body, inbox) {
      // By its text, not its hash: a hash that Redis does not know would send it a second time,
      // behind the job that the caller adds right after, and the first chunks would find no inbox.
      await redis.eval(
        scripts.create.lua,
        2,
        keys.request(meta.id),
        keys.body(meta.id),
        JSON.stringify(meta),
        inbox ?? '',
        body,
        lifetimeMs,
      );
    },

    async seal(id, claim) {
      const seal = JSON.stringify({
        worker: claim.worker,
        activation: claim.activation,
        at: Date.now(),
      });
      const args = [tag(id), claim.activation, claim.nonce, claim.worker, lifetimeMs, seal];
      const reply = (await runScript(redis, scripts.seal, allKeys(id), args)) as unknown[];
      const [kind, run, last, body, live] = reply;
      if (kind === 'ended' || kind === 'fenced' || kind === 'gone') return { kind };
      return {
        kind: 'sealed',
        run: Number(run),
        last: entryId(String(last)),
        body: String(body),
        liveReaders: Number(live),
      };
    },

    async append(shard, items) {
      const scriptKeys: string[] = [];
      const args: (string | number)[] = [keys.tag(shard)];
      for (const item of items) {
        scriptKeys.push(keys.request(item.id), keys.log(item.id), keys.body(item.id));
        pushAppendArgs(args, item, retentionMs);
      }
      const reply = (await runScript(redis, scripts.append, scriptKeys, args)) as number[];
      return items.map((_, i) => appendStatus[reply[i] ?? -1] ?? 'gone');
    },

    async finish(id, line, kind) {
      const reply = (await runScript(redis, scripts.finish, allKeys(id), [
        tag(id),
        id,
        line,
        kind,
        retentionMs,
      ])) as ['finished'] | ['ended', TerminalKind] | ['gone'];
      return reply[0] === 'ended' ? { kind: 'ended', by: reply[1] } : { kind: reply[0] };
    },

    describe: (id) => describe(id, ''),
    subscribe: (id, inbox) => describe(id, inbox),

    async unsubscribe(id, inbox) {
      await runScript(redis, scripts.unsubscribe, [keys.request(id)], [inbox]);
    },

    async read(id, after, maxPacks) {
      const start = after.run === 0 && after.seq === 0 ? '-' : `(${formatEntryId(after)}`;
      const packs = await redis.xrange(keys.log(id), start, '+', 'COUNT', maxPacks);
      if (packs.length === 0 && (await redis.exists(keys.log(id))) === 0) return undefined;
      return unpackAll(packs, after, maxPacks);
    },

    async liveReaders(id) {
      return Number(await runScript(redis, scripts.liveReaders, [keys.request(id)], [tag(id)]));
    },
  };
}

function pushAppendArgs(args: (string | number)[], item: AppendItem, retentionMs: number): void {
  args.push(
    item.nonce,
    formatEntryId(item.last),
    frameHeader(item.id, item.prev, item.last, item.lines.length),
    item.lines.join('\n'),
    item.terminal ?? '',
    retentionMs,
  );
}

function unpackAll(packs: [string, string[]][], after: EntryId, maxPacks: number): ReadOutcome {
  const lines: Line[] = [];
  let ahead = false;
  for (const [id, fields] of packs) {
    if (fields[0] === 's') {
      // The place that this run goes on from. A reader past it has lines that Redis lost.
      const from = entryId(fields[3] ?? '');
      if (lines.length === 0 && isAfter(after, from)) ahead = true;
      continue;
    }
    lines.push(...unpack(entryId(id), (fields[1] ?? '').split('\n'), after));
  }
  return { lines, more: packs.length === maxPacks, ahead };
}

const isAfter = (a: EntryId, b: EntryId): boolean =>
  a.run > b.run || (a.run === b.run && a.seq > b.seq);

function entryId(text: string): EntryId {
  const id = parseEntryId(text);
  if (!id) throw new Error(`not an entry id in a log: ${text}`);
  return id;
}
