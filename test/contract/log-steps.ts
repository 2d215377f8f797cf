import { encodeEntry } from '@millrace/shared/domain/entry';
import type { EntryId, Line, TerminalKind } from '@millrace/shared/domain/entry';
import { newRequestId } from '@millrace/shared/domain/request';
import type { RequestMeta } from '@millrace/shared/domain/request';
import { shardOf } from '@millrace/shared/store/keys';
import type {
  AppendItem,
  AppendOutcome,
  Frame,
  Past,
  SealOutcome,
  StreamLog,
} from '@millrace/shared/store/stream-log/port';
import { onTestFinished } from 'vitest';
import type { LogUnderTest } from './log-adapters.ts';

/* What the tests of the log do over and over: requests, runs, inboxes that remember. */

export const at = (run: number, seq: number): EntryId => ({ run, seq });

export const doneLine = encodeEntry({
  kind: 'done',
  data: { finishReason: 'stop', attempts: 1, at: 1 },
});
export const cancelledLine = encodeEntry({ kind: 'cancelled', data: { reason: 'a test', at: 1 } });

export function metaOf(shard = 0): RequestMeta {
  return {
    id: newRequestId(shard, Date.now()),
    endpoint: '/v1/chat/completions',
    model: 'gpt-4o',
    stream: true,
    reader: 'native',
    includeUsage: false,
    attached: false,
    createdAt: 1_700_000_000_000,
  };
}

/** One run that writes as the appender does: each write behind the one before. */
export type TestRun = {
  readonly id: string;
  readonly nonce: string;
  readonly run: number;
  readonly past: Past;
  /** The newest line that this run knows of. */
  last: EntryId;
  /** That the log has, as far as this run knows. */
  entries: number;
  item(lines: readonly string[], terminal?: TerminalKind): AppendItem;
  write(...lines: string[]): Promise<AppendOutcome>;
  end(line?: string, kind?: TerminalKind): Promise<AppendOutcome>;
};

export async function startRun(log: StreamLog, id: string, activation = 1): Promise<TestRun> {
  const nonce = crypto.randomUUID();
  const sealed = await log.seal(id, { activation, nonce, worker: 'worker-1' });
  assertSealed(sealed);
  const run: TestRun = {
    id,
    nonce,
    run: sealed.run,
    past: sealed.past,
    last: sealed.last,
    entries: sealed.entries,
    item(lines, terminal) {
      const prev = run.last;
      const seq = (prev.run === run.run ? prev.seq : 0) + lines.length;
      const last = at(run.run, seq);
      return { id, nonce, prev, entries: run.entries, last, lines, ...(terminal && { terminal }) };
    },
    async write(...lines) {
      return send(run.item(lines));
    },
    async end(line = doneLine, kind = 'done') {
      return send(run.item([line], kind));
    },
  };
  async function send(item: AppendItem): Promise<AppendOutcome> {
    const outcome = await appendOne(log, item);
    if (outcome === 'written') Object.assign(run, { last: item.last, entries: item.entries + 1 });
    return outcome;
  }
  return run;
}

export async function appendOne(log: StreamLog, item: AppendItem): Promise<AppendOutcome> {
  const [outcome] = await log.append(shardOf(item.id), [item]);
  if (outcome === undefined) throw new Error('append gave no outcome');
  return outcome;
}

export function assertSealed(
  outcome: SealOutcome,
): asserts outcome is Extract<SealOutcome, { kind: 'sealed' }> {
  if (outcome.kind !== 'sealed') throw new Error(`seal: ${outcome.kind}`);
}

/** Everything behind a place, page by page; fails where paging does not come to an end. */
export async function readAll(
  log: StreamLog,
  id: string,
  { after = at(0, 0), maxBytes = 1_000_000 } = {},
): Promise<Line[]> {
  const lines: Line[] = [];
  for (let page = 0; page < 1000; page++) {
    const cursor: EntryId = lines.at(-1) ?? after;
    const read = await log.read(id, cursor, maxBytes);
    lines.push(...(read?.lines ?? []));
    if (!read?.more) return lines;
  }
  throw new Error('paging does not come to an end');
}

/** The lines as `run-seq text`, to compare and to read in a failure. */
export const show = (lines: readonly Line[]): string[] =>
  lines.map(({ run, seq, text }) => `${run}-${seq} ${text}`);

export type Recorder = {
  readonly name: string;
  readonly frames: Frame[];
  readonly gaps: number;
  /** Resolves once the condition holds; looked at with everything that comes. */
  until(condition: () => boolean): Promise<void>;
  /** Everything that was shown before this call has come. */
  settled(): Promise<void>;
  /** The texts shown of one request, in their order. */
  texts(id: string): string[];
  close(): Promise<void>;
};

/** Opens an inbox that remembers what comes; it is closed with the test. */
export async function record(
  { log, create, channels }: LogUnderTest,
  name = 'in-1',
): Promise<Recorder> {
  const frames: Frame[] = [];
  const watchers = new Set<() => void>();
  let gaps = 0;
  const look = () => {
    for (const watcher of watchers) watcher();
  };
  const inbox = await channels.openInbox(name, {
    onFrame(frame) {
      frames.push(frame);
      look();
    },
    onGap() {
      gaps += 1;
      look();
    },
  });
  onTestFinished(() => inbox.close());

  function until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const watcher = () => {
        if (!condition()) return;
        watchers.delete(watcher);
        resolve();
      };
      watchers.add(watcher);
      watcher();
    });
  }

  return {
    name,
    frames,
    get gaps() {
      return gaps;
    },
    until,
    async settled() {
      // A message of our own: what was shown before it comes before it.
      const id = await create(name);
      await log.finish(id, cancelledLine, 'cancelled');
      await until(() => frames.some((frame) => frame.id === id));
    },
    texts: (id) => frames.filter((frame) => frame.id === id).flatMap(({ texts }) => texts),
    close: () => inbox.close(),
  };
}
