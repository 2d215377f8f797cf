import { maxKeys } from './port.ts';
import type { ApiKeyStore, CreatedKey, WriteOutcome } from './port.ts';

/** API keys in this process, for tests. */
export function createMemoryApiKeys(): ApiKeyStore {
  const records = new Map<string, string>();
  const listeners = new Set<() => void>();
  let version = 0;

  function change(id: string, seen: string, record: string): WriteOutcome {
    const present = records.get(id) ?? '';
    if (present === record) return { kind: 'written' };
    if (present !== seen) return { kind: 'changed' };
    if (present === '' && records.size >= maxKeys) return { kind: 'full' };
    if (record === '') records.delete(id);
    else records.set(id, record);
    version = Math.max(version + 1, Date.now() * 1000);
    for (const onChange of listeners) queueMicrotask(onChange);
    return { kind: 'written' };
  }

  return {
    read: async () => ({
      version,
      keys: [...records.values()].map((record) => JSON.parse(record) as CreatedKey),
    }),
    async find(id) {
      const record = records.get(id);
      return record === undefined ? undefined : (JSON.parse(record) as CreatedKey);
    },
    version: async () => version,
    write: async (key, seen) =>
      change(key.id, seen ? JSON.stringify(seen) : '', JSON.stringify(key)),
    remove: async (seen) => change(seen.id, JSON.stringify(seen), ''),
    subscribe(onChange) {
      const listener = () => onChange();
      listeners.add(listener);
      queueMicrotask(onChange);
      return { close: () => void listeners.delete(listener) };
    },
  };
}
