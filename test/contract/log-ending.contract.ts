import { newRequest } from '@millrace/shared/store/submit/request.fixture';
import { describe, expect, it } from 'vitest';
import type { LogUnderTest } from './log-adapters.ts';
import {
  assertSealed,
  at,
  cancelledLine,
  doneLine,
  metaOf,
  readAll,
  record,
  show,
  startRun,
} from './log-steps.ts';

/** What every adapter promises of an end from outside: a cancel, a deadline, a job that was removed. */
export function endingContract(open: () => LogUnderTest): void {
  describe('finish', () => {
    it('ends a request that still waits in the queue', async () => {
      const one = open();
      const { log, create } = one;
      const inbox = await record(one);
      const id = await create(inbox.name);
      expect(await log.finish(id, cancelledLine, 'cancelled')).toEqual({ kind: 'finished' });
      expect(await log.describe(id)).toMatchObject({ ended: 'cancelled', last: at(0, 1) });
      expect(show(await readAll(log, id))).toEqual([`0-1 ${cancelledLine}`]);
      await inbox.settled();
      const frame = { id, prev: at(0, 0), last: at(0, 1), texts: [cancelledLine] };
      expect(inbox.frames).toContainEqual(frame);
      const claim = { activation: 1, nonce: 'a', worker: 'w' };
      expect(await log.seal(id, claim)).toEqual({ kind: 'ended', by: 'cancelled' });
    });

    it('ends a request that is sealed and has no line yet', async () => {
      const one = open();
      const { log, create } = one;
      const inbox = await record(one);
      const id = await create(inbox.name);
      const run = await startRun(log, id);
      expect(await log.finish(id, cancelledLine, 'cancelled')).toEqual({ kind: 'finished' });
      await inbox.settled();
      const frame = { id, prev: at(0, 0), last: at(1, 1), texts: [cancelledLine] };
      expect(inbox.frames).toContainEqual(frame);
      expect(await run.write('c1')).toBe('ended');
    });

    it('is followed by what its run knows of its attempts, which no reader is shown', async () => {
      const one = open();
      const { log, create } = one;
      const inbox = await record(one);
      const id = await create(inbox.name);
      const run = await startRun(log, id);
      await run.write('c1');
      expect(await log.amend(id, run.nonce, ['e1'])).toBe(false);
      await log.finish(id, cancelledLine, 'cancelled');
      expect(await log.describe(id)).not.toHaveProperty('late');
      await inbox.settled();
      const framesOf = () => inbox.frames.filter((frame) => frame.id === id);
      const shown = framesOf().length;
      expect(await log.amend(id, 'another', ['e1'])).toBe(false);
      expect(await log.amend(id, run.nonce, ['e1', 'e2'])).toBe(true);
      expect(await log.amend(id, run.nonce, ['e1', 'e2'])).toBe(true);
      expect(await log.describe(id)).toMatchObject({ last: at(1, 2), late: ['e1', 'e2'] });
      expect(show(await readAll(log, id))).toEqual(['1-1 c1', `1-2 ${cancelledLine}`]);
      await inbox.settled();
      expect(framesOf()).toHaveLength(shown);
      expect(await log.amend(`${id}0`, run.nonce, ['e1'])).toBe(false);
    });

    it.each(['done', 'cancelled'] as const)(
      'removes the body, unless the request keeps it; removing the request removes it with its log (%s)',
      async (kind) => {
        const { log, submit } = open();
        const make = async (more: object) => {
          const meta = { ...metaOf(), ...more };
          await submit(newRequest(meta, { body: 'text' }));
          return meta.id;
        };
        const [plain, keeping] = [await make({}), await make({ keepsBody: true })];
        const nonces: string[] = [];
        for (const id of [plain, keeping]) {
          const run = await startRun(log, id);
          nonces.push(run.nonce);
          await run.write('c1');
          expect(await log.body(id)).toBe('text');
          expect(await log.remove(id)).toBe(false);
          if (kind === 'done') await run.end();
          else await log.finish(id, cancelledLine, kind);
          expect(await log.describe(id)).toMatchObject({ ended: kind });
        }
        expect(await log.body(plain)).toBeUndefined();
        expect(await log.body(keeping)).toBe('text');
        expect(await log.remove(keeping)).toBe(true);
        expect(await log.body(keeping)).toBeUndefined();
        expect(await log.describe(keeping)).toBeUndefined();
        expect(await log.read(keeping, at(0, 0), 1000)).toBeUndefined();
        expect(await log.remove(keeping)).toBe(false);
        expect(await log.describe(plain)).toBeDefined();
        // The tokens of its run still reach the ledger, and nobody else.
        expect(await log.amend(keeping, 'another', ['e1'])).toBe(false);
        expect(await log.amend(keeping, nonces[1] ?? '', ['e1'])).toBe(true);
        expect(await log.describe(keeping)).toBeUndefined();
        expect(await log.read(keeping, at(0, 0), 1000)).toBeUndefined();
      },
    );

    it('takes the next id of a stream, right behind its last line', async () => {
      const one = open();
      const { log, create } = one;
      const inbox = await record(one);
      const id = await create(inbox.name);
      const run = await startRun(log, id);
      await run.write('c1', 'c2');
      await log.finish(id, cancelledLine, 'cancelled');
      await inbox.settled();
      const frame = { id, prev: at(1, 2), last: at(1, 3), texts: [cancelledLine] };
      expect(inbox.frames).toContainEqual(frame);
      expect(await log.describe(id)).toMatchObject({ last: at(1, 3), ended: 'cancelled' });
      expect(await run.write('c3')).toBe('ended');
    });

    it('after a takeover without lines is right behind the last line of the run before', async () => {
      const one = open();
      const { log, create } = one;
      const inbox = await record(one);
      const id = await create(inbox.name);
      await (await startRun(log, id, 1)).write('c1');
      await startRun(log, id, 2);
      await log.finish(id, cancelledLine, 'cancelled');
      await inbox.settled();
      const frame = { id, prev: at(1, 1), last: at(2, 1), texts: [cancelledLine] };
      expect(inbox.frames).toContainEqual(frame);
    });

    it('of one that has ended says how, and changes nothing', async () => {
      const one = open();
      const { log, create } = one;
      const inbox = await record(one);
      const id = await create(inbox.name);
      await (await startRun(log, id)).end();
      const outcome = await log.finish(id, cancelledLine, 'cancelled');
      expect(outcome).toEqual({ kind: 'ended', by: 'done' });
      await inbox.settled();
      expect(inbox.texts(id)).toEqual([doneLine]);
      expect(show(await readAll(log, id))).toEqual([`1-1 ${doneLine}`]);
    });

    it('twice: the first one wins', async () => {
      const { log, create } = open();
      const id = await create();
      const outcomes = await Promise.all([
        log.finish(id, cancelledLine, 'cancelled'),
        log.finish(id, doneLine, 'failed'),
      ]);
      expect(outcomes).toEqual([{ kind: 'finished' }, { kind: 'ended', by: 'cancelled' }]);
    });

    it('tells the worker that runs it, and no other', async () => {
      const one = open();
      const { log, create, channels } = one;
      const heard: string[] = [];
      const listen = (name: string) =>
        channels.openWorker(name, {
          onFinished: (id) => heard.push(`${name} ${id}`),
          onJobsWaiting: () => {},
          onGap: () => {},
        });
      const listening = [await listen('worker-1'), await listen('worker-2')];
      const inbox = await record(one);
      const queued = await create(inbox.name);
      const id = await create(inbox.name);
      await startRun(log, id);
      const taken = await create();
      await startRun(log, taken, 1);
      const claim = { activation: 2, nonce: 'b', worker: 'worker-2' };
      assertSealed(await log.seal(taken, claim));
      await log.finish(queued, cancelledLine, 'cancelled');
      await log.finish(id, cancelledLine, 'cancelled');
      await log.finish(taken, cancelledLine, 'cancelled');
      await expect.poll(() => heard.toSorted()).toEqual([`worker-1 ${id}`, `worker-2 ${taken}`]);
      for (const one of listening) await one.close();
    });
  });
}
