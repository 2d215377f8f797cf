import { describe, expect, it } from 'vitest';
import { chunkLine } from '@millrace/shared/domain/entry';
import { newRequest } from '@millrace/shared/store/submit/request.fixture';
import type { LogUnderTest } from './log-adapters.ts';
import {
  appendOne,
  at,
  cancelledLine,
  doneLine,
  metaOf,
  readAll,
  show,
  startRun,
} from './log-steps.ts';

/** What every adapter promises of packing: that it cannot be seen. */
export function packingContract(open: () => LogUnderTest): void {
  describe('a packed log', () => {
    /** Two runs, writes of several lines, every kind of text. */
    async function endedLog({ log, create }: LogUnderTest) {
      const id = await create();
      const first = await startRun(log, id, 1);
      await first.write('c1', 'c2', 'c3');
      await first.write('c4');
      await startRun(log, id, 2);
      const run = await startRun(log, id, 3);
      for (let i = 0; i < 50; i++) await run.write(chunkLine(`{"n":${i},"ä":"👩‍👩‍👧 \u0000"}`), 'cb');
      await run.end();
      return { id, run, first };
    }

    it('reads as before, whole and page by page', async () => {
      const one = open();
      const { log } = one;
      const { id } = await endedLog(one);
      const whole = show(await readAll(log, id));
      expect(whole).toHaveLength(105);
      for (const maxBytes of [1, 30, 1000, 1_000_000]) {
        await log.pack(0, [id]);
        expect(show(await readAll(log, id, { maxBytes }))).toEqual(whole);
      }
    });

    it('goes on from every cursor, also one in the middle of a write', async () => {
      const one = open();
      const { log } = one;
      const { id } = await endedLog(one);
      const lines = await readAll(log, id);
      await log.pack(0, [id]);
      for (const [i, { run, seq }] of lines.entries()) {
        expect(await readAll(log, id, { after: at(run, seq) })).toEqual(lines.slice(i + 1));
      }
    });

    it('knows a cursor that is ahead of it, and one at its end', async () => {
      const one = open();
      const { log } = one;
      const { id } = await endedLog(one);
      await log.pack(0, [id]);
      expect(await log.read(id, at(3, 102), 1000)).toMatchObject({ ahead: true });
      await log.pack(0, [id]);
      expect(await log.read(id, at(3, 101), 1000)).toEqual({
        lines: [],
        more: false,
        ahead: false,
      });
    });

    it('is described as before, and so is what its run adds behind the end', async () => {
      const { log, create } = open();
      const id = await create('in-1');
      const run = await startRun(log, id);
      await run.write('c1');
      await log.finish(id, cancelledLine, 'cancelled');
      const before = await log.describe(id);
      expect(before).toMatchObject({ last: at(1, 2), ended: 'cancelled' });
      await log.pack(0, [id]);
      expect(await log.describe(id)).toEqual(before);
      expect(await log.subscribe(id, 'in-2')).toEqual(before);
      expect(await log.amend(id, run.nonce, ['e{"a":1}'])).toBe(true);
      expect(await log.describe(id)).toEqual({ ...before, late: ['e{"a":1}'] });
      expect(show(await readAll(log, id))).toEqual(['1-1 c1', `1-2 ${cancelledLine}`]);
    });

    it('is the same log for a second caller with its Idempotency-Key', async () => {
      const { log, submit } = open();
      const meta = metaOf();
      const once = {
        hash: `h-${meta.id}`,
        fingerprint: 'f',
        caller: { token: 'a', inbox: 'in-1' },
      };
      await submit(newRequest(meta, { once }));
      const run = await startRun(log, meta.id);
      await run.write('c1');
      await run.end();
      await log.pack(0, [meta.id]);
      const second = { ...once, caller: { token: 'b', inbox: 'in-1' } };
      expect(await submit(newRequest(metaOf(), { once: second }))).toEqual({
        kind: 'joined',
        id: meta.id,
      });
      expect(show(await readAll(log, meta.id))).toEqual(['1-1 c1', `1-2 ${doneLine}`]);
    });

    it('takes no write of any run, and tells a re-sent end from one of another', async () => {
      const { log, create } = open();
      const id = await create();
      const old = await startRun(log, id, 1);
      await old.write('c1');
      const run = await startRun(log, id, 2);
      const end = run.item(['c2', doneLine], 'done');
      expect(await appendOne(log, end)).toBe('written');
      await log.pack(0, [id]);
      expect(await appendOne(log, end)).toBe('duplicate');
      expect(await appendOne(log, run.item(['c3', doneLine], 'done'))).toBe('ended');
      expect(await appendOne(log, { ...end, last: at(2, 3) })).toBe('ended');
      expect(await old.write('zombie')).toBe('fenced');
      expect(await log.seal(id, { activation: 3, nonce: 'n', worker: 'w' })).toEqual({
        kind: 'ended',
        by: 'done',
      });
      expect(await log.finish(id, cancelledLine, 'cancelled')).toEqual({
        kind: 'ended',
        by: 'done',
      });
      expect(await log.detach(id)).toBe('ended');
      expect(show(await readAll(log, id))).toEqual(['1-1 c1', '2-1 c2', `2-2 ${doneLine}`]);
    });

    it('is none where the request has not ended, or is not there', async () => {
      const one = open();
      const { log, create } = one;
      const [waiting, running, gone] = [await create(), await create(), await create()];
      const run = await startRun(log, running);
      await run.write('c1');
      expect(await log.pack(0, [waiting, running, metaOf().id])).toBe(0);
      expect(await run.write('c2')).toBe('written');
      expect(await run.end()).toBe('written');
      expect(show(await readAll(log, running))).toEqual(['1-1 c1', '1-2 c2', `1-3 ${doneLine}`]);
      const taken = await startRun(log, waiting);
      expect(await taken.end()).toBe('written');
      await one.expire(gone);
      expect(await log.read(gone, at(0, 0), 1000)).toBeUndefined();
    });
  });
}
