import { createMemoryWindows } from '@millrace/shared/store/quota/memory-windows';
import { keyAccount } from '@millrace/shared/store/quota/port';
import { expect, test } from 'vitest';
import { createKeyLimits } from './quota.ts';

// Limits that change while requests are under way; the rest is in test/system/limits.test.ts.

function limitsOf(limits: { concurrent?: number } | undefined) {
  const keys = new Map([['a', { ...(limits && { limits }) }]]);
  const held = new Set<string>();
  const released: string[] = [];
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
    onError(error) {
      throw error;
    },
  });
  const charge = async (id: string) =>
    (await keyLimits.charge({ id, keyId: 'a', body: '{}', attached: true })).kind;
  return { keys, held, released, keyLimits, charge };
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
