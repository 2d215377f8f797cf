import { newRequestId } from '@millrace/shared/domain/request';
import { createMemoryLog } from '@millrace/shared/store/stream-log/memory-log';
import { newRequest } from '@millrace/shared/store/submit/request.fixture';
import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { turn } from './appender-steps.ts';
import { createAppender } from './appender.ts';
import type { Appender } from './appender.ts';

type Fault = 'none' | 'before' | 'after';

it('every line is in the log once and in order, whatever answers are lost', async () => {
  const step = fc.record({
    stream: fc.nat({ max: 2 }),
    lines: fc.integer({ min: 1, max: 5 }),
    quiet: fc.boolean(),
    turn: fc.boolean(),
  });
  const faults = fc.array(fc.constantFrom<Fault>('none', 'before', 'after'), { maxLength: 20 });
  const property = fc.asyncProperty(
    fc.array(step, { maxLength: 40 }),
    faults,
    async (steps, plan) => {
      const memory = createMemoryLog();
      const left = [...plan];
      const flaky = createAppender({
        maxHeldBytes: 1000,
        onError: () => {},
        log: {
          async append(shard, items) {
            const fault = left.shift();
            if (fault === 'before') throw new Error('not sent');
            const outcomes = await memory.log.append(shard, items);
            if (fault === 'after') throw new Error('the answer was lost');
            return outcomes;
          },
        },
      });
      const streams = await Promise.all([0, 1, 2].map(() => openOn(memory, flaky)));
      for (const { stream, lines, quiet, turn: isTurn } of steps) {
        const { writer, pushed } = streams[stream] ?? streams[0] ?? fail();
        for (let i = 0; i < lines; i++) {
          const line = `c${pushed.length}`;
          pushed.push(line);
          if (quiet) writer.pushDeferred(line);
          else writer.push(line);
        }
        if (isTurn) await turn();
      }
      for (const { writer, pushed } of streams) {
        pushed.push('d{}');
        writer.end('d{}', 'done');
      }
      const flushing = Promise.all(streams.map(({ writer }) => Promise.resolve(writer.flushed())));
      for (let i = 0; i < 30 && flaky.busy; i++) {
        await turn();
        await vi.advanceTimersByTimeAsync(100);
      }
      await flushing;
      for (const { id, pushed, refused } of streams) {
        const read = await memory.log.read(id, { run: 0, seq: 0 }, 1_000_000);
        expect(read?.lines.map(({ text }) => text)).toEqual(pushed);
        expect(read?.lines.map(({ seq }) => seq)).toEqual(pushed.map((_, i) => i + 1));
        expect(refused).toEqual([]);
        expect(await memory.log.describe(id)).toMatchObject({ ended: 'done' });
      }
    },
  );
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  try {
    await fc.assert(property, { numRuns: 100 });
  } finally {
    vi.useRealTimers();
  }
});

function fail(): never {
  throw new Error('no such stream');
}

async function openOn({ log, submit }: ReturnType<typeof createMemoryLog>, on: Appender) {
  const id = newRequestId(0, Date.now());
  const meta = {
    id,
    endpoint: '/v1/chat/completions',
    model: 'm',
    stream: true,
    reader: 'plain',
    includeUsage: false,
    attached: true,
    createdAt: 0,
  } as const;
  await submit(newRequest(meta));
  const sealed = await log.seal(id, { activation: 1, nonce: id, worker: 'w' });
  if (sealed.kind !== 'sealed') throw new Error(sealed.kind);
  const refused: string[] = [];
  const writer = on.open({
    id,
    run: sealed.run,
    nonce: id,
    prev: sealed.last,
    entries: sealed.entries,
    onRefused: (outcome) => refused.push(outcome),
    onPressure: () => {},
  });
  return { id, writer, refused, pushed: [] as string[] };
}
