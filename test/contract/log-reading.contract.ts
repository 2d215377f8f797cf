import { describe, expect, it } from 'vitest';
import type { LogUnderTest } from './log-adapters.ts';
import { at, doneLine, readAll, record, show, startRun } from './log-steps.ts';

/** What every adapter promises of reading. */
export function readingContract(open: () => LogUnderTest): void {
  describe('read', () => {
    it('gives all lines with their places, oldest first', async () => {
      const { log, create } = open();
      const id = await create();
      const run = await startRun(log, id);
      await run.write('c1', 'c2');
      await run.write('c3');
      await run.end();
      const read = await log.read(id, at(0, 0), 10_000);
      expect(show(read?.lines ?? [])).toEqual(['1-1 c1', '1-2 c2', '1-3 c3', `1-4 ${doneLine}`]);
      expect(read).toMatchObject({ more: false, ahead: false });
    });

    it('comes page by page, whatever the size of a page', async () => {
      const { log, create } = open();
      const id = await create();
      const run = await startRun(log, id);
      for (let i = 0; i < 10; i++) await run.write(`c${i}a`, `c${i}b`);
      const whole = show(await readAll(log, id));
      expect(whole).toHaveLength(20);
      const page = await log.read(id, at(0, 0), 20);
      expect(page?.more).toBe(true);
      for (const maxBytes of [1, 5, 6, 7, 8, 20, 1000]) {
        expect(show(await readAll(log, id, { maxBytes }))).toEqual(whole);
      }
    });

    it('brings no more bytes than asked for, or one write that has more', async () => {
      const { log, create } = open();
      const id = await create();
      const run = await startRun(log, id);
      const sizes = [[10], [10, 3000, 10], [700], [400], [10, 10], [999], [1], [2000], [30]];
      const writes = sizes.map((lines) => lines.map((size, i) => `c${'äbc'[i]?.repeat(size)}`));
      for (const lines of writes) await run.write(...lines);
      await run.end();
      const bytesOf = (texts: readonly string[]) => Buffer.byteLength(texts.join(''));
      const largest = Math.max(...writes.map(bytesOf));
      for (const maxBytes of [1, 50, 1000, 1500, 10_000]) {
        const seen: string[] = [];
        for (let cursor = at(0, 0), more = true; more;) {
          const read = await log.read(id, cursor, maxBytes);
          const texts = (read?.lines ?? []).map(({ text }) => text);
          expect(bytesOf(texts)).toBeLessThanOrEqual(Math.max(maxBytes, largest));
          const isOne = writes.some((lines) => lines.join() === texts.join());
          expect(isOne || bytesOf(texts) <= Math.max(maxBytes, doneLine.length)).toBe(true);
          seen.push(...texts);
          cursor = read?.lines.at(-1) ?? cursor;
          more = read?.more ?? false;
        }
        expect(seen).toEqual([...writes.flat(), doneLine]);
      }
    });

    it('goes on from a cursor inside a pack', async () => {
      const { log, create } = open();
      const id = await create();
      const run = await startRun(log, id);
      await run.write('c1', 'c2', 'c3', 'c4');
      await run.write('c5');
      expect(show(await readAll(log, id, { after: at(1, 2) }))).toEqual([
        '1-3 c3',
        '1-4 c4',
        '1-5 c5',
      ]);
      expect(show(await readAll(log, id, { after: at(1, 4) }))).toEqual(['1-5 c5']);
    });

    it('at the end gives nothing, and there is no more', async () => {
      const { log, create } = open();
      const id = await create();
      await (await startRun(log, id)).write('c1', 'c2');
      const nothing = { lines: [], more: false, ahead: false };
      expect(await log.read(id, at(1, 2), 10_000)).toEqual(nothing);
    });

    it('of a log that is only sealed gives nothing, and there is no more', async () => {
      const { log, create } = open();
      const id = await create();
      await startRun(log, id);
      const nothing = { lines: [], more: false, ahead: false };
      expect(await log.read(id, at(0, 0), 10_000)).toEqual(nothing);
    });

    it('goes through seals in the middle', async () => {
      const { log, create } = open();
      const id = await create();
      await (await startRun(log, id, 1)).write('c1', 'c2');
      await startRun(log, id, 2);
      await (await startRun(log, id, 4)).write('c3');
      await (await startRun(log, id, 5)).end();
      const whole = ['1-1 c1', '1-2 c2', '4-1 c3', `5-1 ${doneLine}`];
      for (const maxBytes of [1, 2, 3, 100]) {
        expect(show(await readAll(log, id, { maxBytes }))).toEqual(whole);
      }
      expect(show(await readAll(log, id, { after: at(1, 2) }))).toEqual(whole.slice(2));
      const read = await log.read(id, at(1, 2), 10_000);
      expect(read?.ahead).toBe(false);
    });

    it('comes past many seals in a row', async () => {
      const { log, create } = open();
      const id = await create();
      await (await startRun(log, id, 1)).write('c1');
      for (let activation = 2; activation < 12; activation++) await startRun(log, id, activation);
      await (await startRun(log, id, 12)).end();
      const whole = ['1-1 c1', `12-1 ${doneLine}`];
      for (const maxBytes of [1, 4]) {
        expect(show(await readAll(log, id, { maxBytes }))).toEqual(whole);
      }
    });

    it('is ahead when a run was started from before the cursor', async () => {
      const { log, create, snapshot } = open();
      const id = await create();
      const first = await startRun(log, id, 1);
      await first.write('c1', 'c2');
      const goBack = await snapshot();
      await first.write('lost');
      await goBack();
      const second = await startRun(log, id, 2);
      expect(await log.read(id, at(1, 3), 10_000)).toMatchObject({ ahead: true });
      await second.write('c3');
      expect(await log.read(id, at(1, 3), 10_000)).toMatchObject({ ahead: true });
      // Who had not been shown what was lost goes on.
      const read = await log.read(id, at(1, 2), 10_000);
      expect(read).toMatchObject({ ahead: false, lines: [{ run: 2, seq: 1, text: 'c3' }] });
    });

    it('is ahead when the log ends before the cursor', async () => {
      const { log, create, snapshot } = open();
      const id = await create();
      const first = await startRun(log, id, 1);
      await first.write('c1', 'c2');
      const goBack = await snapshot();
      await first.write('lost');
      await goBack();
      expect(await log.read(id, at(1, 3), 10_000)).toEqual({ lines: [], more: false, ahead: true });
      expect(await log.read(id, at(7, 1), 10_000)).toMatchObject({ ahead: true });
      expect(await log.read(id, at(1, 2), 10_000)).toMatchObject({ ahead: false });
    });

    it('brings every kind of Unicode back as it was', async () => {
      const one = open();
      const { log, create } = one;
      const inbox = await record(one);
      const id = await create(inbox.name);
      const run = await startRun(log, id);
      const lines = [
        'c{"ä":"ß"}',
        'c👩‍👩‍👧‍👦 🏳️‍🌈 𝔘𝔫𝔦',
        'cline\u2028separator\u2029next\u0085line',
        'cnul \u0000 bell \u0007 escape \u001b del \u007f tab \t vt \v ff \f cr \r',
        'cbom \uFEFF noncharacters \uFFFE\uFFFF private \uE000 \u{10FFFF}',
        'cعربى 漢字 कि ẛ̣',
        'c\\n "quoted" \\ud83d 1-1 s e %d %s $1',
        'c',
        'c 1-1 2-2 1',
      ];
      await run.write(...lines);
      await inbox.settled();
      expect((await readAll(log, id)).map(({ text }) => text)).toEqual(lines);
      expect(inbox.texts(id)).toEqual(lines);
    });
  });
}
