import type { Redis } from 'ioredis';
import { compareEntryIds, formatEntryId, unpack } from '../../domain/entry.ts';
import type { EntryId, Line, TerminalKind } from '../../domain/entry.ts';
import { maxLedgerBacklog } from '../../domain/ledger.ts';
import { maxWebhookBacklog } from '../../domain/webhook.ts';
import type { RequestMeta } from '../../domain/request.ts';
import { shardOf } from '../keys.ts';
import type { Keyspace } from '../keys.ts';
import { appendCall, appendOutcome, endsLast } from './append-call.ts';
import type { Caller, Described, DetachOutcome, ReadOutcome, StreamLog } from './port.ts';
import { createRedisPacking } from './redis-packing.ts';
import { runScript } from '../script.ts';
import { scripts } from './scripts.ts';
import { entryId, pastBytes, pastPacks, sealOutcome, timeIn } from './seal-reply.ts';
import type { SealReply } from './seal-reply.ts';

export type RedisLogOptions = {
  redis: Redis;
  keys: Keyspace;
  /** How long an unfinished request is kept: the longest wait in the queue and the longest run. */
  lifetimeMs: number;
  /** How long a finished request can be read. */
  retentionMs: number;
  /** `finish` writes a ledger entry. Default false. */
  hasLedger?: boolean;
};

/** The log on Redis or Valkey >= 7.0. Errors of the connection and of Redis are thrown unchanged. */
export function createRedisLog({
  redis,
  keys,
  lifetimeMs,
  retentionMs,
  hasLedger = false,
}: RedisLogOptions): StreamLog {
  const allKeys = (id: string) => [keys.request(id), keys.log(id), keys.body(id)];
  const tag = (id: string) => keys.tag(shardOf(id));
  const packing = createRedisPacking({ redis, keys });

  async function describe(id: string, inbox: string): Promise<Described | undefined> {
    const reply = await runScript(
      redis,
      scripts.describe,
      [keys.request(id), keys.log(id)],
      [inbox],
    );
    if (reply === null) return undefined;
    const [meta, last, ended, late] = reply as [string, string, TerminalKind | '', string];
    return {
      meta: JSON.parse(meta) as RequestMeta,
      last: entryId(last),
      ended: ended === '' ? undefined : ended,
      ...(late !== '' && { late: late.split('\n') }),
    };
  }

  return {
    async seal(id, claim) {
      const seal = JSON.stringify({
        worker: claim.worker,
        activation: claim.activation,
        at: Date.now(),
      });
      const { activation, nonce, worker } = claim;
      const args = [activation, nonce, worker, lifetimeMs, seal, pastPacks, pastBytes];
      const reply = (await runScript(redis, scripts.seal, allKeys(id), args)) as SealReply;
      return sealOutcome(reply);
    },

    async append(shard, items, at = Date.now()) {
      const ordered = endsLast(items);
      const call = appendCall(ordered, { keys, shard, retentionMs, now: at });
      const reply = (await runScript(redis, scripts.append, call.keys, call.args)) as number[];
      const outcomes = reply.map(appendOutcome);
      if (ordered === items) return outcomes;
      const byItem = new Map(ordered.map((item, i) => [item, outcomes[i] ?? 'gone']));
      return items.map((item) => byItem.get(item) ?? 'gone');
    },

    async finish(id, line, kind, { leaver, freesKey = false } = {}) {
      const reply = (await runScript(redis, scripts.finish, allKeys(id), [
        tag(id),
        id,
        line,
        kind,
        retentionMs,
        leaver === undefined ? '' : callerName(leaver),
        freesKey ? 'free' : '',
        hasLedger ? maxLedgerBacklog : 0,
        maxWebhookBacklog,
      ])) as ['finished'] | ['ended', TerminalKind] | ['shared'] | ['gone'];
      return reply[0] === 'ended' ? { kind: 'ended', by: reply[1] } : { kind: reply[0] };
    },

    async detach(id, caller) {
      const args = [caller === undefined ? '' : callerName(caller), caller?.token ?? id];
      return (await runScript(redis, scripts.detach, [keys.request(id)], args)) as DetachOutcome;
    },

    async amend(id, nonce, lines, facts = '') {
      const ledger = facts === '' ? [] : [tag(id), id, facts, maxLedgerBacklog];
      const args = [nonce, lines.join('\n'), ...ledger];
      return (await runScript(redis, scripts.amend, [keys.request(id)], args)) === 1;
    },

    describe: (id) => describe(id, ''),
    subscribe: (id, inbox) => describe(id, inbox),

    async unsubscribe(id, inbox) {
      // By its text, not its hash: sent a second time after NOSCRIPT, it would arrive after a `subscribe`
      // that follows.
      await redis.eval(scripts.unsubscribe.lua, 1, keys.request(id), inbox);
    },

    async read(id, after, maxBytes, { timed = false } = {}) {
      const args = [formatEntryId(after), maxBytes, timed ? 1 : 0];
      const ask = () => runScript(redis, scripts.read, [keys.log(id)], args);
      let reply = await ask();
      if (reply === null && (await packing.unpack(id))) reply = await ask();
      return reply === null ? undefined : readOutcome(reply as ReadReply, after, timed);
    },

    async body(id) {
      return (await redis.get(keys.body(id))) ?? undefined;
    },

    remove: async (id) => (await runScript(redis, scripts.remove, allKeys(id), [removedMs])) === 1,

    pack: packing.pack,

    async liveReaders(id) {
      return Number(await runScript(redis, scripts.liveReaders, [keys.request(id)], [tag(id)]));
    },
  };
}

/** Milliseconds in which the run of a removed request may still report its tokens: it is stopped at once, and its provider with it. */
const removedMs = 60_000;

/** The name of a caller in the scripts: inbox and token contain no white space. */
export const callerName = ({ inbox = '', token }: Caller): string => `${inbox}/${token}`;

/** The reply of lua/read.lua. */
type ReadReply = [more: 0 | 1, end: string, ...idsTextsAndTimes: string[]];

function readOutcome(
  [more, end, ...packs]: ReadReply,
  after: EntryId,
  timed: boolean,
): ReadOutcome {
  const lines: Line[] = [];
  // The log ends here: it never reached `after`, or lost it.
  let ahead = end !== '' && compareEntryIds(after, entryId(end)) > 0;
  const width = timed ? 3 : 2;
  for (let i = 0; i < packs.length; i += width) {
    const id = entryId(packs[i] ?? '');
    const text = packs[i + 1] ?? '';
    if (id.seq === 0) {
      // A reader whose cursor is after the line from which this run continues has lines that Redis lost.
      if (lines.length === 0 && compareEntryIds(after, entryId(text)) > 0) ahead = true;
      continue;
    }
    // One by one: a pack can have more lines than a call can have arguments.
    for (const line of unpack(id, text.split('\n'), after)) {
      lines.push(timed ? { ...line, at: timeIn(packs[i + 2]) } : line);
    }
  }
  return { lines, more: more === 1, ahead };
}
