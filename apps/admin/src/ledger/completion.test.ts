import { encodeEntry } from '@millrace/shared/domain/entry';
import type { LedgerEntry } from '@millrace/shared/domain/ledger';
import type { Described, ReadOutcome } from '@millrace/shared/store/stream-log/port';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { startCompletion } from './completion.ts';
import { attemptOf, entryOf, morning } from './entries.fixture.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: morning });
});
afterEach(() => {
  vi.useRealTimers();
});

const { started, ended } = attemptOf(1, { outcome: 'upstream_reset' });
const second = attemptOf(2, {}, { mode: 'continue' });
if (!ended) throw new Error('an attempt with an end');
const lines = [
  encodeEntry({ kind: 'attempt', data: started }),
  'c{"choices":[]}',
  encodeEntry({ kind: 'attempt_end', data: ended }),
  encodeEntry({ kind: 'attempt', data: second.started }),
  encodeEntry({
    kind: 'seam',
    data: { attempt: 2, rung: 'continue', offset: 5, outcome: 'passed' },
  }),
];

/** A log that returns two lines at a time. */
function logOf(texts: readonly string[], late?: readonly string[]) {
  const described = { meta: entryOf('req_1').meta, late } as unknown as Described;
  return {
    describe: async (id: string) => (id === 'req_1' ? described : undefined),
    read: async (_id: string, { seq }: { seq: number }): Promise<ReadOutcome> => ({
      lines: texts.slice(seq, seq + 2).map((text, i) => ({ run: 1, seq: seq + i + 1, text })),
      more: seq + 2 < texts.length,
      ahead: false,
    }),
  };
}

async function complete(log: ReturnType<typeof logOf>, ids: string[]) {
  const stored: LedgerEntry[] = [];
  const incomplete = vi.fn<() => Promise<string[]>>().mockResolvedValueOnce(ids);
  incomplete.mockResolvedValue([]);
  const completion = startCompletion({
    log,
    retentionMs: 3_600_000,
    incomplete,
    store: async (entries) => void stored.push(...entries),
    onError: (error) => {
      throw error;
    },
  });
  await vi.advanceTimersByTimeAsync(10_000);
  const stopped = completion.stop();
  await vi.advanceTimersByTimeAsync(0);
  await stopped;
  return { stored, incomplete };
}

test('a request whose worker died has the attempts that its log shows, and no end where there is none', async () => {
  const { stored, incomplete } = await complete(logOf(lines), ['req_1']);
  expect(stored).toEqual([
    {
      id: 'req_1',
      meta: entryOf('req_1').meta,
      facts: { attempts: [{ started, ended }, { started: second.started }], rescues: 1 },
      run: 2,
    },
  ]);
  // A worker has ten seconds to send them itself.
  expect(incomplete).toHaveBeenCalledWith({
    from: morning - 3_600_000,
    to: morning - 10_000,
    limit: 100,
  });
  expect(incomplete).toHaveBeenCalledTimes(2);
});

test('ends that its worker added after the end count, too', async () => {
  const late = [encodeEntry({ kind: 'attempt_end', data: { ...ended, attempt: 2 } })];
  const { stored } = await complete(logOf(lines, late), ['req_1']);
  expect(stored[0]?.facts?.attempts[1]?.ended).toMatchObject({ attempt: 2 });
});

test('a request whose log has expired stays as it is', async () => {
  const { stored } = await complete(logOf(lines), ['req_2']);
  expect(stored).toEqual([]);
});
