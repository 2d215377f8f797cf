import { newRequest } from '@millrace/shared/store/submit/request.fixture';
import { describe, expect, it } from 'vitest';
import type { LogUnderTest } from './log-adapters.ts';
import { at, cancelledLine, metaOf, record, startRun } from './log-steps.ts';

/** What every adapter promises of the making of a request. With an Idempotency-Key: log-once.contract.ts. */
export function submitContract(open: () => LogUnderTest): void {
  describe('submit', () => {
    it('makes a request known, with an empty log and one job', async () => {
      const { log, submit, waiting } = open();
      const meta = { ...metaOf(1), keyId: 'team-a', metadata: { deep: ['ü', null, 1.5] } };
      expect(await submit(newRequest(meta))).toEqual({ kind: 'created', isWaiting: true });
      expect(await log.describe(meta.id)).toEqual({ meta, last: at(0, 0), ended: undefined });
      expect(await log.read(meta.id, at(0, 0), 10_000)).toBeUndefined();
      expect(await waiting()).toEqual([meta.id]);
    });

    it('leaves an id unknown that was never submitted', async () => {
      const { log } = open();
      const { id } = metaOf();
      expect(await log.describe(id)).toBeUndefined();
      expect(await log.subscribe(id, 'in-1')).toBeUndefined();
      expect(await log.read(id, at(0, 0), 10_000)).toBeUndefined();
      expect(await log.liveReaders(id)).toBe(0);
      expect(await log.seal(id, { activation: 1, nonce: 'n', worker: 'w' })).toEqual({
        kind: 'gone',
      });
      expect(await log.finish(id, cancelledLine, 'cancelled')).toEqual({ kind: 'gone' });
      await log.unsubscribe(id, 'in-1');
      expect(await log.describe(id)).toBeUndefined();
    });

    it('that is sent again changes nothing, and makes no second job', async () => {
      const one = open();
      const { log, submit, waiting } = one;
      const later = await record(one, 'in-2');
      const meta = metaOf();
      await submit(newRequest(meta));
      await log.subscribe(meta.id, later.name);
      const run = await startRun(log, meta.id);
      await run.write('c1');
      expect(await submit(newRequest(meta))).toEqual({ kind: 'created', isWaiting: false });
      expect(await waiting()).toEqual([meta.id]);
      await run.write('c2');
      await later.settled();
      expect(later.texts(meta.id)).toEqual(['c1', 'c2']);
    });

    it('makes no job for a request that is another one, or conflicts with one', async () => {
      const { submit, waiting } = open();
      const onceBy = (fingerprint: string) => ({
        hash: 'a-key',
        fingerprint,
        caller: { token: crypto.randomUUID(), inbox: undefined },
      });
      const first = metaOf();
      await submit(newRequest(first, { once: onceBy('f') }));
      const joined = await submit(newRequest(metaOf(), { once: onceBy('f') }));
      expect(joined).toEqual({ kind: 'joined', id: first.id });
      const other = await submit(newRequest(metaOf(), { once: onceBy('other') }));
      expect(other).toEqual({ kind: 'conflict' });
      expect(await waiting()).toEqual([first.id]);
    });
  });
}
