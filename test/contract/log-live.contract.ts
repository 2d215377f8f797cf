import { describe, expect, it } from 'vitest';
import type { LogUnderTest } from './log-adapters.ts';
import {
  at,
  cancelledLine,
  doneLine,
  metaOf,
  readAll,
  record,
  show,
  startRun,
} from './log-steps.ts';

/** What every adapter promises of the live path, and of writes that are large for it. */
export function liveContract(open: () => LogUnderTest): void {
  describe('the live path', () => {
    it('shows the same frames to two inboxes', async () => {
      const one = open();
      const { log, create } = one;
      const [first, second] = [await record(one, 'in-1'), await record(one, 'in-2')];
      const id = await create(first.name);
      await log.subscribe(id, second.name);
      await log.subscribe(id, second.name);
      const run = await startRun(log, id);
      await run.write('c1', 'c2');
      await run.end();
      const frames = [
        { id, prev: at(0, 0), last: at(1, 2), texts: ['c1', 'c2'] },
        { id, prev: at(1, 2), last: at(1, 3), texts: [doneLine] },
      ];
      for (const inbox of [first, second]) {
        await inbox.settled();
        expect(inbox.frames.filter((frame) => frame.id === id)).toEqual(frames);
      }
    });

    it('names the line before a run in the first frame of it', async () => {
      const one = open();
      const inbox = await record(one);
      const id = await one.create(inbox.name);
      await (await startRun(one.log, id, 1)).write('c1', 'c2');
      await startRun(one.log, id, 2);
      await (await startRun(one.log, id, 3)).write('c3');
      await inbox.settled();
      const frame = { id, prev: at(1, 2), last: at(3, 1), texts: ['c3'] };
      expect(inbox.frames).toContainEqual(frame);
    });

    it('says with the subscription where the log ends', async () => {
      const one = open();
      const inbox = await record(one);
      const id = await one.create();
      const run = await startRun(one.log, id);
      await run.write('c1');
      expect(await one.log.subscribe(id, inbox.name)).toMatchObject({ last: at(1, 1) });
      await run.write('c2');
      await inbox.settled();
      expect(inbox.texts(id)).toEqual(['c2']);
    });

    it('shows nothing more to an inbox that was unsubscribed', async () => {
      const one = open();
      const { log, create } = one;
      const [leaving, staying] = [await record(one, 'in-1'), await record(one, 'in-11')];
      const id = await create(leaving.name);
      await log.subscribe(id, staying.name);
      const run = await startRun(log, id);
      await run.write('c1');
      await log.unsubscribe(id, leaving.name);
      await log.unsubscribe(id, 'never-there');
      await run.write('c2');
      await leaving.settled();
      await staying.settled();
      expect(leaving.texts(id)).toEqual(['c1']);
      expect(staying.texts(id)).toEqual(['c1', 'c2']);
    });

    it('shows nothing to an inbox that was closed, and the other goes on', async () => {
      const one = open();
      const { log, create } = one;
      const [closed, other] = [await record(one, 'in-1'), await record(one, 'in-2')];
      const id = await create(closed.name);
      await log.subscribe(id, other.name);
      const run = await startRun(log, id);
      await closed.close();
      await run.write('c1');
      await other.settled();
      expect(closed.texts(id)).toEqual([]);
      expect(other.texts(id)).toEqual(['c1']);
    });

    it('counts only inboxes that are listened on', async () => {
      const one = open();
      const { log, create } = one;
      const inbox = await record(one, 'in-1');
      const id = await create(inbox.name, 1);
      expect(await log.liveReaders(id)).toBe(1);
      await log.subscribe(id, 'in-of-a-dead-ingress');
      expect(await log.liveReaders(id)).toBe(1);
      const second = await record(one, 'in-2');
      expect(await log.liveReaders(id)).toBe(1);
      await log.subscribe(id, second.name);
      expect(await log.liveReaders(id)).toBe(2);
      await log.unsubscribe(id, second.name);
      await inbox.close();
      await expect.poll(() => log.liveReaders(id)).toBe(0);
    });

    it('counts one reader for a request that its ingress gave up, until its end', async () => {
      const one = open();
      const { log, create } = one;
      const inbox = await record(one, 'in-1');
      const id = await create(inbox.name);
      expect(await log.detach(id)).toBe('detached');
      await log.unsubscribe(id, inbox.name);
      expect(await log.liveReaders(id)).toBe(1);
      // Whoever cancels it on purpose ends it all the same.
      expect(await log.finish(id, cancelledLine, 'cancelled')).toEqual({ kind: 'finished' });
      expect(await log.detach(id)).toBe('ended');
      expect(await log.detach(metaOf().id)).toBe('gone');
    });

    it('does not subscribe to what has ended', async () => {
      const one = open();
      const inbox = await record(one);
      const id = await one.create();
      await one.log.finish(id, cancelledLine, 'cancelled');
      expect(await one.log.subscribe(id, inbox.name)).toMatchObject({ ended: 'cancelled' });
      expect(await one.log.liveReaders(id)).toBe(0);
    });

    it('counts the workers', async () => {
      const { channels } = open();
      const events = { onFinished: () => {}, onJobsWaiting: () => {}, onGap: () => {} };
      expect(await channels.countWorkers()).toBe(0);
      const first = await channels.openWorker('worker-1', events);
      const second = await channels.openWorker('worker-2', events);
      expect(await channels.countWorkers()).toBe(2);
      await first.close();
      await expect.poll(() => channels.countWorkers()).toBe(1);
      await second.close();
      await expect.poll(() => channels.countWorkers()).toBe(0);
    });

    it('works on every shard', async () => {
      const one = open();
      const inbox = await record(one);
      const ids = [await one.create(inbox.name, 0), await one.create(inbox.name, 1)];
      for (const id of ids) {
        await (await startRun(one.log, id)).write('c1');
        await one.log.finish(id, cancelledLine, 'cancelled');
      }
      await inbox.settled();
      for (const id of ids) expect(inbox.texts(id)).toEqual(['c1', cancelledLine]);
      expect(metaOf(1).id).toMatch(/^req_1_/);
    });
  });

  describe('big writes', () => {
    it('10,000 lines in one append', async () => {
      const one = open();
      const inbox = await record(one);
      const id = await one.create(inbox.name);
      const run = await startRun(one.log, id);
      const lines = Array.from({ length: 10_000 }, (_, i) => `c${i}`);
      expect(await run.write(...lines)).toBe('written');
      await inbox.settled();
      expect(inbox.texts(id)).toEqual(lines);
      const read = await readAll(one.log, id);
      expect(read.map(({ text }) => text)).toEqual(lines);
      expect(read.at(-1)).toMatchObject(at(1, 10_000));
      const tail = await readAll(one.log, id, { after: at(1, 9_998) });
      expect(show(tail)).toEqual(['1-9999 c9998', '1-10000 c9999']);
    });

    it('400 streams in one append', async () => {
      const one = open();
      const { log, create } = one;
      const inbox = await record(one);
      const runs = await Promise.all(
        Array.from({ length: 400 }, async () => startRun(log, await create(inbox.name))),
      );
      const items = runs.map((run, i) => run.item([`c${i}`, 'cx', doneLine], 'done'));
      expect(new Set(await log.append(0, items))).toEqual(new Set(['written']));
      await inbox.settled();
      for (const [i, { id }] of runs.entries()) {
        expect(inbox.texts(id)).toEqual([`c${i}`, 'cx', doneLine]);
      }
    });

    it('a line of 4 MB', async () => {
      const one = open();
      const inbox = await record(one);
      const id = await one.create(inbox.name);
      const run = await startRun(one.log, id);
      const line = `c${'0123456789abcde\u00fc'.repeat(256 * 1024)}`;
      expect(await run.write(line)).toBe('written');
      await inbox.settled();
      const [read] = await readAll(one.log, id);
      expect(read?.text === line).toBe(true);
      expect(inbox.texts(id)[0] === line).toBe(true);
    });
  });
}
