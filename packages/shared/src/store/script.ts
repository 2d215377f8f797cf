import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { records } from './records.ts';

export type Script = { readonly lua: string; readonly sha: string };

/** A line of a script that includes a fragment: a file beside it, named without its extension. */
const includeLine = /^--- @include "(.+)"$/gm;

/** A name in a script that is replaced by a field's stored name (records.ts). */
const fieldName = /'@(\w+)\.(\w+)'/g;

/**
 * The script with its fragments, each of them once (fragments can share one that they all include), and with the stored
 * names of the fields that it names. Throws on a missing fragment and on an unknown field.
 */
export function loadScript(file: URL): Script {
  const lua = assemble(file, new Set());
  return { lua, sha: createHash('sha1').update(lua).digest('hex') };
}

function assemble(file: URL, included: Set<string>): string {
  const text = withStoredNames(readFileSync(file, 'utf8'), file.pathname);
  return text.replace(includeLine, (_line, name: string) => {
    const fragment = new URL(`${name}.lua`, file);
    if (included.has(fragment.href)) return '';
    included.add(fragment.href);
    return assemble(fragment, included).trimEnd();
  });
}

function withStoredNames(lua: string, path: string): string {
  const named = lua.replace(fieldName, (_name, record, field) => {
    const stored = (records as Record<string, Record<string, string>>)[record]?.[field];
    if (stored === undefined) throw new Error(`${path}: unknown field ${record}.${field}`);
    return `'${stored}'`;
  });
  // A name that is not a complete single-quoted text would reach Redis unreplaced.
  const left = /^(?!\s*--).*?(@\w+\.\w+)/m.exec(named)?.[1];
  if (left !== undefined) throw new Error(`${path}: ${left} is not a whole text in single quotes`);
  return named;
}

/**
 * Runs a script by its hash. A Redis that does not have it yet (new, restarted) gets the text, unless
 * `isWanted` returns false because the caller has sent a command meanwhile that the script must not overtake.
 */
export async function runScript(
  redis: Redis,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
  isWanted: () => boolean = () => true,
): Promise<unknown> {
  try {
    return await redis.evalsha(script.sha, keys.length, ...keys, ...args);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
    if (!isWanted()) throw error;

    return redis.eval(script.lua, keys.length, ...keys, ...args);
  }
}
