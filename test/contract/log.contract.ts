import { shardOf } from '@millrace/shared/store/keys';
import { newRequest } from '@millrace/shared/store/submit/request.fixture';
import { describe, expect, it } from 'vitest';
import type { LogUnderTest } from './log-adapters.ts';
import {
  appendOne,
  at,
  cancelledLine,
  doneLine,
  metaOf,
  readAll,
  record,
  show,
  startRun,
} from './log-steps.ts';

/** What every adapter promises of writing: one test for each promise of the port. */
export function writingContract(open: () => LogUnderTest): void {
  describe('seal', () => {
    it('hands out the run, the place before it and the body', async () => {
      const { log, submit } = open();
      const meta = metaOf();
      const body = '{"messages":[{"content":"Grüße, 🌍\\u0000"}]}';
      await submit(newRequest(meta, { body }));
      const claim = { activation: 1, nonce: 'a', worker: 'w' };
      expect(await log.seal(meta.id, claim)).toEqual({
        kind: 'sealed',
        run: 1,
        last: at(0, 0),
        entries: 1,
        body,
        past: { entries: [], through: at(0, 0) },
      });
    });

    it('names the last line before it', async () => {
      const { log, create } = open();
      const id = await create();
      const first = await startRun(log, id, 1);
      await first.write('c1', 'c2');
      await first.write('c3');
      expect(await startRun(log, id, 2)).toMatchObject({ run: 2, last: at(1, 3) });
    });

    it('names the last line before it also when a seal followed a seal', async () => {
      const { log, create } = open();
      const id = await create();
      const first = await startRun(log, id, 1);
      await first.write('c1', 'c2');
      await startRun(log, id, 2);
      await startRun(log, id, 3);
      expect(await startRun(log, id, 4)).toMatchObject({ run: 4, last: at(1, 2) });
      expect(await log.describe(id)).toMatchObject({ last: at(1, 2) });
    });

    it('brings the past from its first line on, and says how far', async () => {
      const { log, create } = open();
      const id = await create();
      const first = await startRun(log, id, 1);
      for (let i = 1; i <= 9; i += 1) {
        const item = first.item([`c${i}`, `d${i}`]);
        expect(await log.append(shardOf(id), [item], 1000 * i)).toEqual(['written']);
        Object.assign(first, { last: item.last, entries: item.entries + 1 });
      }
      await startRun(log, id, 2);
      const { past, last } = await startRun(log, id, 3);
      expect(last).toEqual(at(1, 18));
      const known = past.entries.flatMap((entry) =>
        entry.texts.map((text) => ({ text, at: entry.at })),
      );
      expect(known.length).toBeGreaterThan(0);
      const rest = await log.read(id, past.through, 100, { timed: true });
      const lines = (rest?.lines ?? []).map(({ text, at: sentAt }) => ({ text, at: sentAt }));
      expect([...known, ...lines]).toEqual(
        Array.from({ length: 9 }, (_, i) => [
          { text: `c${i + 1}`, at: 1000 * (i + 1) },
          { text: `d${i + 1}`, at: 1000 * (i + 1) },
        ]).flat(),
      );
    });

    it('after many that wrote nothing is read like the first one', async () => {
      const { log, create } = open();
      const id = await create();
      const first = await startRun(log, id, 1);
      await first.write('c1');
      for (let activation = 2; activation <= 40; activation += 1) {
        await startRun(log, id, activation);
      }
      const last = await startRun(log, id, 41);
      expect(last.past).toEqual({
        entries: [{ at: expect.any(Number), texts: ['c1'] }],
        through: at(1, 1),
      });
      expect(await last.write('d1')).toBe('written');
      expect(await first.write('c2')).toBe('fenced');
      expect(show(await readAll(log, id))).toEqual(['1-1 c1', '41-1 d1']);
    });

    it('that is re-sent gives the same run again', async () => {
      const { log, create } = open();
      const id = await create();
      const first = await startRun(log, id, 1);
      await first.write('c1');
      const claim = { activation: 2, nonce: 'b', worker: 'w' };
      const sealed = await log.seal(id, claim);
      expect(await log.seal(id, claim)).toEqual(sealed);
      expect(sealed).toMatchObject({ run: 2, last: at(1, 1) });
    });

    it('takes the activation as the run, whatever was left out', async () => {
      const { log, create } = open();
      const id = await create();
      expect((await startRun(log, id, 3)).run).toBe(3);
      expect((await startRun(log, id, 7)).run).toBe(7);
    });

    it('gives a run above all others when an activation is handed out twice', async () => {
      const { log, create } = open();
      const id = await create();
      const first = await startRun(log, id, 2);
      await first.write('c1');
      const second = await startRun(log, id, 2);
      expect(second).toMatchObject({ run: 3, last: at(2, 1) });
      expect(await first.write('c2')).toBe('fenced');
      expect(await second.write('d2')).toBe('written');
      // The next activation is 3: its run may not be the one that stood in for it.
      expect((await startRun(log, id, 3)).run).toBe(4);
    });

    it('of an older activation that comes late is fenced', async () => {
      const { log, create } = open();
      const id = await create();
      const newer = await startRun(log, id, 5);
      const late = await log.seal(id, { activation: 4, nonce: 'late', worker: 'w' });
      expect(late).toEqual({ kind: 'fenced' });
      expect(await newer.write('c1')).toBe('written');
    });

    it('of a request that has its terminal line is refused', async () => {
      const { log, create } = open();
      const id = await create();
      await (await startRun(log, id)).end();
      const claim = { activation: 2, nonce: 'b', worker: 'w' };
      expect(await log.seal(id, claim)).toEqual({ kind: 'ended', by: 'done' });
    });

    it('of a request whose end of life came finds it gone', async () => {
      const { log, create, expire } = open();
      const id = await create();
      await startRun(log, id, 1);
      await expire(id);
      const claim = { activation: 2, nonce: 'b', worker: 'w' };
      expect(await log.seal(id, claim)).toEqual({ kind: 'gone' });
      expect(await log.describe(id)).toBeUndefined();
    });
  });

  describe('append', () => {
    it('has a line in the log before it is shown', async () => {
      const one = open();
      const { log, create } = one;
      const reads: Promise<string[]>[] = [];
      let id = '';
      const inbox = await one.channels.openInbox('in-1', {
        onFrame: () => reads.push(readAll(log, id).then(show)),
        onGap: () => {},
      });
      id = await create('in-1');
      const run = await startRun(log, id);
      await run.write('c1', 'c2');
      await run.end();
      await expect.poll(() => reads.length).toBe(2);
      const seen = await Promise.all(reads);
      expect(seen[0]?.slice(0, 2)).toEqual(['1-1 c1', '1-2 c2']);
      expect(seen[1]).toEqual(['1-1 c1', '1-2 c2', `1-3 ${doneLine}`]);
      await inbox.close();
    });

    it('of a zombie is fenced after a newer seal, and nothing of it is shown', async () => {
      const one = open();
      const { log, create } = one;
      const inbox = await record(one);
      const id = await create(inbox.name);
      const zombie = await startRun(log, id, 1);
      await zombie.write('c1');
      const next = await startRun(log, id, 2);
      expect(await zombie.write('zombie')).toBe('fenced');
      expect(await zombie.end()).toBe('fenced');
      await next.write('c2');
      expect(await zombie.write('zombie')).toBe('fenced');
      await inbox.settled();
      expect(inbox.texts(id)).toEqual(['c1', 'c2']);
      expect(show(await readAll(log, id))).toEqual(['1-1 c1', '2-1 c2']);
      expect(await log.describe(id)).toMatchObject({ ended: undefined });
    });

    it('without a seal writes nothing', async () => {
      const { log, create } = open();
      const id = await create();
      const item = { id, nonce: 'n', prev: at(0, 0), entries: 0, last: at(1, 1), lines: ['c1'] };
      expect(await appendOne(log, item)).toBe('lost');
      expect(await log.read(id, at(0, 0), 10_000)).toBeUndefined();
    });

    it('behind lines that were lost writes and shows nothing', async () => {
      const one = open();
      const { log, create, snapshot } = one;
      const inbox = await record(one);
      const id = await create(inbox.name);
      const run = await startRun(log, id);
      await run.write('c1');
      const goBack = await snapshot();
      await run.write('c2');
      const sentBefore = run.item(['c3']);
      await goBack();
      // Sent by a client that comes back to the store, and what its run has to say next.
      expect(await appendOne(log, sentBefore)).toBe('lost');
      expect(await run.end()).toBe('lost');
      await inbox.settled();
      expect(inbox.texts(id)).toEqual(['c1', 'c2']);
      expect(show(await readAll(log, id))).toEqual(['1-1 c1']);
      expect(await log.describe(id)).toMatchObject({ ended: undefined });
      const next = await startRun(log, id, 2);
      expect(await next.write('c2')).toBe('written');
      expect(await run.end()).toBe('fenced');
      expect(show(await readAll(log, id))).toEqual(['1-1 c1', '2-1 c2']);
    });

    it('is not lost when its run was not, and when it is re-sent behind the place', async () => {
      const { log, create, snapshot } = open();
      const id = await create();
      await (await startRun(log, id)).write('c1', 'c2');
      const run = await startRun(log, id, 2);
      const item = run.item(['c3']);
      const goBack = await snapshot();
      expect(await run.write('c3')).toBe('written');
      await goBack();
      // Lost itself, and nothing before it: it is written once more.
      expect(await appendOne(log, item)).toBe('written');
      expect(await appendOne(log, item)).toBe('duplicate');
      expect(await run.end()).toBe('written');
    });

    it('whose run was lost as well is lost', async () => {
      const { log, create, snapshot } = open();
      const id = await create();
      const goBack = await snapshot();
      const run = await startRun(log, id);
      await run.write('c1');
      await goBack();
      expect(await run.end()).toBe('lost');
      expect(await log.describe(id)).toMatchObject({ ended: undefined });
    });

    it('that is re-sent is a duplicate and shown once', async () => {
      const one = open();
      const { log, create } = one;
      const inbox = await record(one);
      const id = await create(inbox.name);
      const run = await startRun(log, id);
      const item = run.item(['c1', 'c2']);
      expect(await appendOne(log, item)).toBe('written');
      expect(await appendOne(log, item)).toBe('duplicate');
      await inbox.settled();
      expect(inbox.texts(id)).toEqual(['c1', 'c2']);
      expect(show(await readAll(log, id))).toEqual(['1-1 c1', '1-2 c2']);
    });

    it('that is re-sent with its terminal line is a duplicate', async () => {
      const one = open();
      const { log, create } = one;
      const inbox = await record(one);
      const id = await create(inbox.name);
      const run = await startRun(log, id);
      const item = run.item(['c1', doneLine], 'done');
      expect(await appendOne(log, item)).toBe('written');
      expect(await appendOne(log, item)).toBe('duplicate');
      await inbox.settled();
      expect(inbox.texts(id)).toEqual(['c1', doneLine]);
    });

    it('takes nothing after the terminal line', async () => {
      const { log, create } = open();
      const id = await create();
      const run = await startRun(log, id);
      await run.write('c1');
      await run.end();
      expect(await run.write('c2')).toBe('ended');
      expect(await run.end(cancelledLine, 'cancelled')).toBe('ended');
      expect(show(await readAll(log, id))).toEqual(['1-1 c1', `1-2 ${doneLine}`]);
      expect(await log.describe(id)).toMatchObject({ ended: 'done', last: at(1, 2) });
    });

    it('with a terminal line is refused when another one took its place', async () => {
      const { log, create } = open();
      const id = await create();
      const run = await startRun(log, id);
      await run.write('c1');
      await log.finish(id, cancelledLine, 'cancelled');
      // The same id as the line from outside, but not the same line: not a duplicate.
      expect(await run.end()).toBe('ended');
      expect(show(await readAll(log, id))).toEqual(['1-1 c1', `1-2 ${cancelledLine}`]);
    });

    it('to a log whose end of life came is gone and does not make it anew', async () => {
      const { log, create, expire } = open();
      const id = await create();
      const run = await startRun(log, id);
      await run.write('c1');
      await expire(id);
      expect(await run.write('c2')).toBe('gone');
      expect(await log.read(id, at(0, 0), 10_000)).toBeUndefined();
      expect(await log.describe(id)).toBeUndefined();
    });

    it('to many logs gives each its own outcome, in the order of the items', async () => {
      const one = open();
      const { log, create } = one;
      const inbox = await record(one);
      const runs = [];
      for (let i = 0; i < 4; i++) runs.push(await startRun(log, await create(inbox.name)));
      const [healthy, fenced, ended, repeated] = runs;
      if (!healthy || !fenced || !ended || !repeated) throw new Error('four runs');
      await startRun(log, fenced.id, 2);
      await log.finish(ended.id, cancelledLine, 'cancelled');
      const again = repeated.item(['c1']);
      await appendOne(log, again);
      const unknown = { ...healthy.item(['c1']), id: metaOf().id };
      const items = [fenced.item(['c1']), ended.item(['c1']), again, unknown, healthy.item(['c1'])];
      expect(await log.append(0, items)).toEqual([
        'fenced',
        'ended',
        'duplicate',
        'gone',
        'written',
      ]);
      await inbox.settled();
      expect(inbox.texts(healthy.id)).toEqual(['c1']);
      expect(inbox.texts(fenced.id)).toEqual([]);
    });
  });
}
