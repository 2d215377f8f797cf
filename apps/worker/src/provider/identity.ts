import { isJsonObject } from '@millrace/shared/domain/json';
import type { ProviderCall } from './port.ts';

/** Members that say which answer a chunk is of: the same over a whole stream. */
const identityMembers = ['id', 'created', 'model'] as const;

/** Some providers change them on the way, and clients that gather by id would see two answers. */
export function createIdentity(shown: ProviderCall['identity'] = {}) {
  const first = new Map<string, string>();
  for (const [name, value] of Object.entries(shown)) {
    if (value !== undefined) first.set(name, JSON.stringify(value));
  }
  return {
    /** The members that the chunk must have otherwise, as JSON texts; undefined when it is right. */
    changed(chunk: unknown): Record<string, string> | undefined {
      if (!isJsonObject(chunk)) return undefined;
      let changed: Record<string, string> | undefined;
      for (const name of identityMembers) {
        const value = chunk[name];
        // Preambles (Azure's filter results) come with empty ones, which are nobody's.
        if (value === undefined || value === null || value === '' || value === 0) continue;
        const own = JSON.stringify(value);
        const kept = first.get(name);
        if (kept === undefined) first.set(name, own);
        else if (kept !== own) (changed ??= {})[name] = kept;
      }
      return changed;
    },
  };
}
