import type { Once, StreamLog } from '@millrace/shared/store/stream-log/port';
import { newRequest } from '@millrace/shared/store/submit/request.fixture';
import { describe, expect, it } from 'vitest';
import type { LogUnderTest } from './log-adapters.ts';
import { cancelledLine, metaOf, record, startRun } from './log-steps.ts';

/** What every adapter promises of requests that are made once: one test for each promise of the port. */
export function onceContract(open: () => LogUnderTest): void {
  const onceBy = (inbox: string | undefined, fingerprint = 'f'): Once => ({
    hash: 'a-key',
    fingerprint,
    caller: { token: crypto.randomUUID(), inbox },
  });
  const make = async ({ submit }: LogUnderTest, once: Once) => {
    const meta = metaOf();
    return { id: meta.id, outcome: await submit(newRequest(meta, { once })) };
  };
  const leave = (log: StreamLog, id: string, { caller }: Once) =>
    log.finish(id, cancelledLine, 'cancelled', { leaver: caller, freesKey: true });

  describe('a request that is made once', () => {
    it('is made by the first, and joined by whoever asks for the same', async () => {
      const one = open();
      const { log } = one;
      const first = await make(one, onceBy(undefined));
      expect(first.outcome).toMatchObject({ kind: 'created' });
      const second = await make(one, onceBy(undefined));
      expect(second.outcome).toEqual({ kind: 'joined', id: first.id });
      expect(await log.describe(second.id)).toBeUndefined();
      expect((await make(one, onceBy(undefined, 'other'))).outcome).toEqual({ kind: 'conflict' });
      const another = { ...onceBy(undefined), hash: 'another-key' };
      expect((await make(one, another)).outcome).toMatchObject({ kind: 'created' });
    });

    it('is still the first one’s own when its making is re-sent', async () => {
      const { submit } = open();
      const [meta, once] = [metaOf(), onceBy(undefined)];
      await submit(newRequest(meta, { once }));
      expect(await submit(newRequest(meta, { once }))).toMatchObject({ kind: 'created' });
    });

    it('can be joined after its end, with or without an answer', async () => {
      const one = open();
      const { log } = one;
      const { id } = await make(one, onceBy(undefined));
      await (await startRun(log, id)).end();
      expect((await make(one, onceBy(undefined))).outcome).toEqual({ kind: 'joined', id });
      const [meta, once] = [metaOf(), { ...onceBy(undefined), hash: 'another-key' }];
      await one.submit(newRequest(meta, { once }));
      await log.finish(meta.id, cancelledLine, 'cancelled');
      const again = await make(one, { ...onceBy(undefined), hash: 'another-key' });
      expect(again.outcome).toEqual({ kind: 'joined', id: meta.id });
    });

    it('is made anew when it ended without an answer for anybody', async () => {
      const one = open();
      const inbox = await record(one, 'in-1');
      const once = onceBy(inbox.name);
      const { id } = await make(one, once);
      expect(await leave(one.log, id, once)).toEqual({ kind: 'finished' });
      expect((await make(one, onceBy(undefined))).outcome).toMatchObject({ kind: 'created' });
    });

    it('is made anew when its end of life came', async () => {
      const one = open();
      const { id } = await make(one, onceBy(undefined));
      await one.expire(id);
      expect((await make(one, onceBy(undefined))).outcome).toMatchObject({ kind: 'created' });
    });

    it('goes on until the last of its callers left, in any order', async () => {
      const one = open();
      const { log } = one;
      const inbox = await record(one, 'in-1');
      const other = await record(one, 'in-2');
      const callers = [onceBy(inbox.name), onceBy(inbox.name), onceBy(other.name)] as const;
      const { id } = await make(one, callers[0]);
      await make(one, callers[1]);
      await make(one, callers[2]);
      expect(await leave(log, id, callers[0])).toEqual({ kind: 'shared' });
      // Told twice, it left once.
      expect(await leave(log, id, callers[0])).toEqual({ kind: 'shared' });
      expect(await leave(log, id, callers[2])).toEqual({ kind: 'shared' });
      expect(await leave(log, id, callers[1])).toEqual({ kind: 'finished' });
    });

    it('counts a caller once whose call was re-sent', async () => {
      const one = open();
      const { log } = one;
      const inbox = await record(one, 'in-1');
      const [first, second] = [onceBy(inbox.name), onceBy(inbox.name)];
      const { id } = await make(one, first);
      const meta = metaOf();
      await one.submit(newRequest(meta, { once: second }));
      await one.submit(newRequest(meta, { once: second }));
      expect(await leave(log, id, second)).toEqual({ kind: 'shared' });
      expect(await leave(log, id, first)).toEqual({ kind: 'finished' });
    });

    it('does not wait for callers whose ingress is dead', async () => {
      const one = open();
      const { log } = one;
      const inbox = await record(one, 'in-1');
      const first = onceBy(inbox.name);
      const { id } = await make(one, first);
      await make(one, onceBy('in-of-a-dead-one'));
      expect(await leave(log, id, first)).toEqual({ kind: 'finished' });
    });

    it('goes on for one who stays for ever, also when no ingress reads it', async () => {
      const one = open();
      const { log } = one;
      const inbox = await record(one, 'in-1');
      const first = onceBy(inbox.name);
      const { id } = await make(one, first);
      expect(await log.liveReaders(id)).toBe(0);
      await make(one, onceBy(undefined));
      expect(await leave(log, id, first)).toEqual({ kind: 'shared' });
      expect(await log.liveReaders(id)).toBe(1);
    });

    it('goes on for a caller whose ingress gave it up, also when that ingress is gone', async () => {
      const one = open();
      const { log } = one;
      const inbox = await record(one, 'in-1');
      const [moved, other] = [onceBy(inbox.name), onceBy(inbox.name)];
      const { id } = await make(one, moved);
      await make(one, other);
      expect(await log.detach(id, moved.caller)).toBe('detached');
      expect(await log.detach(id, moved.caller)).toBe('detached');
      expect(await leave(log, id, other)).toEqual({ kind: 'shared' });
      await inbox.close();
      await expect.poll(() => log.liveReaders(id)).toBe(1);
      // It comes back by its key, on another ingress, and leaves again.
      const back = onceBy((await record(one, 'in-2')).name);
      expect((await make(one, back)).outcome).toEqual({ kind: 'joined', id });
      expect(await leave(log, id, back)).toEqual({ kind: 'shared' });
    });

    it('ends for all of them when it is cancelled', async () => {
      const one = open();
      const inbox = await record(one, 'in-1');
      const { id } = await make(one, onceBy(inbox.name));
      await make(one, onceBy(inbox.name));
      expect(await one.log.finish(id, cancelledLine, 'cancelled')).toEqual({ kind: 'finished' });
    });
  });
}
