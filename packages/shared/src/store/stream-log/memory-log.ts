import { compareEntryIds, formatEntryId, logStart, unpack } from '../../domain/entry.ts';
import type { EntryId, TerminalKind } from '../../domain/entry.ts';
import type { RequestMeta } from '../../domain/request.ts';
import type { QueuedJob, Submit } from '../submit/port.ts';
import { createMemoryChannels } from './memory-channels.ts';
import type { MemoryChannels } from './memory-channels.ts';
import type {
  AppendItem,
  AppendOutcome,
  Caller,
  Described,
  Frame,
  Past,
  StreamLog,
} from './port.ts';

export type MemoryLogOptions = {
  /** Milliseconds; without it nothing expires. */
  now?(): number;
  lifetimeMs?: number;
  retentionMs?: number;
};

/** The log and the live paths in one process, for tests: same guarantees, without Redis. */
export type MemoryLog = {
  log: StreamLog;
  submit: Submit;
  /** The job of every request that was created, by its id. */
  jobs: ReadonlyMap<string, QueuedJob>;
  channels: MemoryChannels;
  /** Saves the state of all logs; the returned function restores it, as a failover does. */
  snapshot(): () => void;
};

type Pack = { id: EntryId; texts: readonly string[]; at: number | undefined };
type Seal = { id: EntryId; prev: EntryId };

type Stored = {
  meta: RequestMeta;
  body: string | undefined;
  inboxes: string[];
  entries: (Pack | Seal)[];
  run: number;
  activation: number;
  nonce: string | undefined;
  worker: string | undefined;
  ended: TerminalKind | undefined;
  late?: readonly string[];
  callers: Caller[];
  expiresAt: number;
};

type Named = { id: string; fingerprint: string };

const isSeal = (entry: Pack | Seal): entry is Seal => 'prev' in entry;
const isPack = (entry: Pack | Seal): entry is Pack => !isSeal(entry);

/** The newest line; for a seal, the line before its run. */
function lastLine({ entries }: Stored): EntryId {
  const newest = entries.at(-1);
  if (!newest) return logStart;
  return isSeal(newest) ? newest.prev : newest.id;
}

/** The least that an adapter may return, so that tests show that a caller reads the rest when it needs all. */
const pastPacks = 2;

function pastOf({ entries }: Stored, run: number): Past {
  const packs = entries
    .filter((entry) => !isSeal(entry) && entry.id.run < run)
    .slice(0, pastPacks) as Pack[];
  return {
    entries: packs.map(({ at, texts }) => ({ at, texts })),
    through: packs.at(-1)?.id ?? logStart,
  };
}

export function createMemoryLog({
  now = () => 0,
  lifetimeMs = 3_600_000,
  retentionMs = 3_600_000,
}: MemoryLogOptions = {}): MemoryLog {
  const channels = createMemoryChannels();
  let requests = new Map<string, Stored>();
  /** By the hash of the Idempotency-Key. A key whose request is gone is free. */
  /** The nonces of removed requests. */
  const removed = new Map<string, string>();
  const named = new Map<string, Named>();
  const jobs = new Map<string, QueuedJob>();

  function find(id: string): Stored | undefined {
    const stored = requests.get(id);
    if (stored && stored.expiresAt <= now()) requests.delete(id);
    return requests.get(id);
  }

  /** A caller without an inbox never leaves; a caller whose ingress is dead has left. */
  const isThere = ({ inbox }: Caller): boolean =>
    inbox === undefined || channels.isListening(inbox);

  function liveReaders(stored: Stored | undefined): number {
    const live = stored?.inboxes.filter((inbox) => channels.isListening(inbox)).length ?? 0;
    const stays = stored?.callers.some(({ inbox }) => inbox === undefined) ?? false;
    return live === 0 && stays ? 1 : live;
  }

  function write(
    stored: Stored,
    frame: Frame,
    terminal: TerminalKind | undefined,
    at?: number,
  ): void {
    stored.entries.push({ id: frame.last, texts: frame.texts, at });
    if (!terminal) return;
    stored.ended = terminal;
    if (!stored.meta.keepsBody) stored.body = undefined;
    stored.expiresAt = now() + retentionMs;
  }

  function show(stored: Stored, frame: Frame): void {
    for (const inbox of stored.inboxes) channels.publish(inbox, frame);
  }

  function append(item: AppendItem, at: number): AppendOutcome {
    const stored = find(item.id);
    if (!stored) return 'gone';
    if (!stored.nonce) return 'lost';
    if (stored.nonce !== item.nonce) return 'fenced';
    const newest = stored.entries.at(-1);
    if (!newest) return 'gone';
    if (stored.ended) return isSameWrite(newest, item) ? 'duplicate' : 'ended';
    if (stored.entries.length < item.entries) return 'lost';
    if (compareEntryIds(item.last, newest.id) <= 0) return 'duplicate';
    write(stored, toFrame(item), item.terminal, at);
    return 'written';
  }

  function describe(id: string, inbox?: string): Described | undefined {
    const stored = find(id);
    if (!stored) return undefined;
    const { meta, ended, inboxes, late } = stored;
    if (inbox !== undefined && !ended && !inboxes.includes(inbox)) inboxes.push(inbox);
    const described = { meta: structuredClone(meta), last: lastLine(stored), ended };
    return late ? { ...described, late } : described;
  }

  const submit: Submit = async ({ meta, body, inbox, job, once }) => {
    const known = once && named.get(once.hash);
    const other = known && known.id !== meta.id ? find(known.id) : undefined;
    if (once && known && other) {
      if (known.fingerprint !== once.fingerprint) return { kind: 'conflict' };
      if (!other.callers.some(isSameCaller(once.caller))) other.callers.push(once.caller);
      return { kind: 'joined', id: known.id };
    }
    if (find(meta.id)) return { kind: 'created', isWaiting: false };
    if (once) named.set(once.hash, { id: meta.id, fingerprint: once.fingerprint });
    jobs.set(meta.id, job);
    requests.set(meta.id, {
      meta: structuredClone(meta),
      body,
      inboxes: inbox === undefined ? [] : [inbox],
      entries: [],
      run: 0,
      activation: 0,
      nonce: undefined,
      worker: undefined,
      ended: undefined,
      callers: once ? [once.caller] : [],
      expiresAt: now() + lifetimeMs,
    });
    return { kind: 'created', isWaiting: true };
  };

  const log: StreamLog = {
    async seal(id, { activation, nonce, worker }) {
      const stored = find(id);
      if (!stored) return { kind: 'gone' };
      if (stored.ended) return { kind: 'ended', by: stored.ended };
      const isMine = stored.nonce === nonce;
      if (!isMine && activation < stored.activation) return { kind: 'fenced' };
      const last = lastLine(stored);
      if (!isMine) {
        const run = Math.max(stored.run + 1, activation);
        stored.entries.push({ id: { run, seq: 0 }, prev: last });
        Object.assign(stored, { run, activation, nonce, worker });
      }
      stored.expiresAt = now() + lifetimeMs;
      const { run, body = '' } = stored;
      const { entries } = stored;
      const past = pastOf(stored, run);
      return { kind: 'sealed', run, last, entries: entries.length, body, past };
    },

    async append(_shard, items, at = Date.now()) {
      const outcomes = items.map((item) => append(item, at));
      // Only when everything is in the log, because a notified reader may read at once.
      for (const [i, item] of items.entries()) {
        const stored = requests.get(item.id);
        if (stored && outcomes[i] === 'written') show(stored, toFrame(item));
      }
      return outcomes;
    },

    async finish(id, line, kind, { leaver, freesKey = false } = {}) {
      const stored = find(id);
      if (!stored) return { kind: 'gone' };
      if (stored.ended) return { kind: 'ended', by: stored.ended };
      if (leaver && stored.callers.length > 0) {
        const leaves = isSameCaller(leaver);
        stored.callers = stored.callers.filter((caller) => !leaves(caller));
        if (stored.callers.some(isThere)) return { kind: 'shared' };
      }
      if (freesKey) {
        for (const [hash, { id: holder }] of named) if (holder === id) named.delete(hash);
      }
      const { run, seq } = stored.entries.at(-1)?.id ?? logStart;
      const frame = { id, prev: lastLine(stored), last: { run, seq: seq + 1 }, texts: [line] };
      write(stored, frame, kind);
      show(stored, frame);
      if (stored.worker !== undefined) channels.tellWorker(stored.worker, id);
      return { kind: 'finished' };
    },

    async detach(id, caller) {
      const stored = find(id);
      if (!stored) return 'gone';
      if (stored.ended) return 'ended';
      const stays: Caller = { token: caller?.token ?? id, inbox: undefined };
      const others = stored.callers.filter(({ token }) => token !== stays.token);
      stored.callers = [stays, ...others];
      return 'detached';
    },

    async amend(id, nonce, lines) {
      if (removed.get(id) === nonce) return true;
      const stored = find(id);
      if (!stored?.ended || stored.nonce !== nonce) return false;
      stored.late = lines;
      return true;
    },

    describe: async (id) => describe(id),
    subscribe: async (id, inbox) => describe(id, inbox),

    async unsubscribe(id, inbox) {
      const stored = find(id);
      if (stored) stored.inboxes = stored.inboxes.filter((name) => name !== inbox);
    },

    async read(id, after, maxBytes, { timed = false } = {}) {
      const stored = find(id);
      if (!stored || stored.entries.length === 0) return undefined;
      const behind = stored.entries.filter((entry) => compareEntryIds(entry.id, after) > 0);
      const packs = behind.filter(isPack);
      const taken = packs.slice(0, countWithin(packs, maxBytes));
      return {
        lines: taken.flatMap(({ id: last, texts, at }) =>
          unpack(last, texts, after).map((line) => (timed ? { ...line, at } : line)),
        ),
        more: taken.length < packs.length,
        ahead: isAhead(after, behind[0], stored),
      };
    },

    body: async (id) => find(id)?.body,

    async remove(id) {
      const stored = find(id);
      if (!stored?.ended) return false;
      if (stored.nonce !== undefined) removed.set(id, stored.nonce);
      for (const [hash, { id: holder }] of named) if (holder === id) named.delete(hash);
      return requests.delete(id);
    },

    // The memory log has no packed form.
    pack: async () => 0,

    liveReaders: async (id) => liveReaders(find(id)),
  };

  return {
    log,
    submit,
    jobs,
    channels,
    snapshot() {
      const kept = structuredClone(requests);
      return () => {
        requests = structuredClone(kept);
      };
    },
  };
}

const isSameCaller = (one: Caller) => (other: Caller) =>
  other.token === one.token && other.inbox === one.inbox;

const toFrame = ({ id, prev, last, lines }: AppendItem): Frame => ({
  id,
  prev,
  last,
  texts: lines,
});

const isSameWrite = (entry: Pack | Seal, { last, lines }: AppendItem): boolean =>
  !isSeal(entry) &&
  formatEntryId(entry.id) === formatEntryId(last) &&
  entry.texts.join('\n') === lines.join('\n');

/** The number of packs, from the first one on, within `maxBytes`, but at least one. */
function countWithin(packs: readonly Pack[], maxBytes: number): number {
  let bytes = 0;
  const tooMany = packs.findIndex(({ texts }, i) => {
    bytes += Buffer.byteLength(texts.join('\n'));
    return i > 0 && bytes > maxBytes;
  });
  return tooMany === -1 ? packs.length : tooMany;
}

/** Whether the reader's cursor is after the log's end, which the log never reached or has lost. */
function isAhead(after: EntryId, next: Pack | Seal | undefined, stored: Stored): boolean {
  if (next && !isSeal(next)) return false;
  return compareEntryIds(after, next ? next.prev : lastLine(stored)) > 0;
}
