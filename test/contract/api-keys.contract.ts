import type { ApiKeyStore, CreatedKey } from '@millrace/shared/store/api-keys/port';
import { expect, test } from 'vitest';

const key = (id: string, more: Partial<CreatedKey> = {}): CreatedKey => ({
  id,
  models: ['*'],
  ips: [],
  priority: 'normal',
  weight: 1,
  secrets: [{ sha256: 'ab'.repeat(32), createdAt: 1 }],
  createdAt: 1,
  ...more,
});

/** What every adapter of the store of API keys guarantees; `open` makes an empty one. */
export function apiKeyContract(open: () => Promise<ApiKeyStore>): void {
  test('a new store has no keys and the version 0', async () => {
    const store = await open();
    expect(await store.read()).toEqual({ version: 0, keys: [] });
    expect(await store.version()).toBe(0);
    expect(await store.find('a')).toBeUndefined();
  });

  test('a key that was written is read as it was, and each change has a higher version', async () => {
    const store = await open();
    const limits = { concurrent: 5 };
    const made = key('a', { limits, expiresAt: 5, models: ['x', 'y'] });
    expect(await store.write(made, undefined)).toEqual({ kind: 'written' });
    const first = await store.version();
    expect(await store.find('a')).toEqual(made);
    expect(await store.write(key('b'), undefined)).toEqual({ kind: 'written' });
    const { version, keys } = await store.read();
    expect(keys.toSorted((one, other) => (one.id < other.id ? -1 : 1))).toEqual([made, key('b')]);
    expect(version).toBeGreaterThan(first);
    expect(first).toBeGreaterThan(0);
  });

  test('a write of a key that another one has changed, made or removed changes nothing', async () => {
    const store = await open();
    const made = key('a');
    await store.write(made, undefined);
    expect(await store.write(key('a', { weight: 9 }), undefined)).toEqual({ kind: 'changed' });
    const changed = key('a', { weight: 2 });
    expect(await store.write(changed, made)).toEqual({ kind: 'written' });
    expect(await store.write(key('a', { weight: 3 }), made)).toEqual({ kind: 'changed' });
    expect(await store.remove(made)).toEqual({ kind: 'changed' });
    expect(await store.find('a')).toEqual(changed);
    expect(await store.remove(changed)).toEqual({ kind: 'written' });
    expect(await store.write(key('a', { weight: 3 }), changed)).toEqual({ kind: 'changed' });
    expect(await store.find('a')).toBeUndefined();
  });

  test('a removal of the last key leaves a version: there were keys', async () => {
    const store = await open();
    await store.write(key('a'), undefined);
    const before = await store.version();
    await store.remove(key('a'));
    expect((await store.read()).keys).toEqual([]);
    expect(await store.version()).toBeGreaterThan(before);
  });

  test('a write that is repeated, because its answer was lost, succeeds again', async () => {
    const store = await open();
    await store.write(key('a'), undefined);
    expect(await store.write(key('a'), undefined)).toEqual({ kind: 'written' });
  });

  test('a listener hears of its subscription and of each change, until it closes', async () => {
    const store = await open();
    let heard = 0;
    const subscription = store.subscribe(() => (heard += 1));
    await expect.poll(() => heard).toBe(1);
    await store.write(key('a'), undefined);
    await expect.poll(() => heard).toBe(2);
    await store.write(key('a', { revokedAt: 2 }), key('a'));
    await expect.poll(() => heard).toBe(3);
    subscription.close();
  });
}
