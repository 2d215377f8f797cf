import { createMemoryWindows } from '@millrace/shared/store/quota/memory-windows';
import { keyAccount } from '@millrace/shared/store/quota/port';
import { expect, test } from 'vitest';
import type { Budget } from '@millrace/shared/domain/budget';
import { refuse } from '../errors.ts';
import type { Refused } from '../errors.ts';
import { createKeyLimits } from './quota.ts';

const request = { keyId: 'a', body: '{}', model: 'm', createdAt: 0, attached: true };

// Limits that change while requests are under way, and limits beside a budget; the rest is in test/system/limits.test.ts and
// budgets.test.ts.

type Key = { limits?: { concurrent?: number }; budget?: Budget };

function limitsOf(limits: { concurrent?: number } | undefined) {
  const keys = new Map<string, Key>([['a', { ...(limits && { limits }) }]]);
  const held = new Set<string>();
  const released: string[] = [];
  const reserved = new Set<string>();
  let answer = async (): Promise<Refused | undefined> => undefined;
  const keyLimits = createKeyLimits({
    keys,
    windows: createMemoryWindows(),
    keeper: {
      async take(_name, id, limit) {
        if (held.size >= limit) return 'no';
        held.add(id);
        return 'yes';
      },
      release(name, id) {
        held.delete(id);
        released.push(`${name} ${id}`);
      },
      keeps: (id) => held.has(id),
      letGo() {},
    },
    budgets: {
      async reserve(_keyId, _budget, { id }) {
        const refused = await answer();
        if (!refused) reserved.add(id);
        return refused;
      },
      release: (_keyId, id) => void reserved.delete(id),
    },
    onError(error) {
      throw error;
    },
  });
  const charge = async (id: string) => (await keyLimits.charge({ ...request, id })).kind;
  const answerWith = (next: typeof answer) => void (answer = next);
  return { keys, held, released, reserved, keyLimits, charge, answerWith };
}

test('a request that began under a limit gives its lease back, also if the limit or the key is gone by then', async () => {
  const { keys, held, released, keyLimits, charge } = limitsOf({ concurrent: 2 });
  await charge('one');
  await charge('two');
  expect(await charge('three')).toBe('refused');
  keys.set('a', {});
  keyLimits.ended({ id: 'one', keyId: 'a' });
  keys.delete('a');
  keyLimits.ended({ id: 'two', keyId: 'a' });
  expect(held.size).toBe(0);
  expect(released).toEqual([`${keyAccount('a')} one`, `${keyAccount('a')} two`]);
});

test('the end of a request that never had a limit asks Redis nothing', async () => {
  const { released, keyLimits, charge } = limitsOf(undefined);
  expect(await charge('one')).toBe('charged');
  keyLimits.ended({ id: 'one', keyId: 'a' });
  expect(released).toEqual([]);
});

test('a limit that is set or changed holds for the next request', async () => {
  const { keys, charge } = limitsOf(undefined);
  await charge('one');
  keys.set('a', { limits: { concurrent: 1 } });
  expect([await charge('two'), await charge('three')]).toEqual(['charged', 'refused']);
  keys.set('a', { limits: { concurrent: 2 } });
  expect(await charge('four')).toBe('charged');
});

const budget: Budget = { day: 1, currency: 'USD' };
const usedUp = refuse('insufficient_quota', { message: 'used up' });

test('a request that is not created gives back what it took of the limits and of the budget', async () => {
  const { keys, held, reserved, keyLimits } = limitsOf(undefined);
  keys.set('a', { limits: { concurrent: 1 }, budget });
  const verdict = await keyLimits.charge({ ...request, id: 'one' });
  expect([held.size, reserved.size]).toEqual([1, 1]);
  if (verdict.kind === 'charged') verdict.refund();
  expect([held.size, reserved.size]).toEqual([0, 0]);
});

test('what the limits refuse reserves nothing, and what the budget refuses holds no lease', async () => {
  const { keys, held, reserved, charge, answerWith } = limitsOf(undefined);
  keys.set('a', { limits: { concurrent: 1 }, budget });
  await charge('one');
  expect(await charge('two')).toBe('refused');
  expect([...reserved]).toEqual(['one']);
  keys.set('a', { limits: { concurrent: 2 }, budget });
  answerWith(async () => usedUp);
  expect(await charge('three')).toBe('refused');
  expect([...held]).toEqual(['one']);
});

test('a budget that cannot be asked fails the request, and holds no lease', async () => {
  const { keys, held, charge, answerWith } = limitsOf(undefined);
  keys.set('a', { limits: { concurrent: 1 }, budget });
  answerWith(() => Promise.reject(new Error('Redis is away')));
  await expect(charge('one')).rejects.toThrow('Redis is away');
  expect(held.size).toBe(0);
});

test('a key without a budget reserves nothing, and one without limits has only its reservation', async () => {
  const { keys, held, reserved, keyLimits, charge } = limitsOf({ concurrent: 1 });
  await charge('one');
  expect([held.size, reserved.size]).toEqual([1, 0]);
  keys.set('a', { budget });
  const verdict = await keyLimits.charge({ ...request, id: 'two' });
  expect(verdict).toMatchObject({ kind: 'charged', account: undefined });
  expect(reserved).toEqual(new Set(['two']));
});
