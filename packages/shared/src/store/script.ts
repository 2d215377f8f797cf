import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { records } from './records.ts';

export type Script = { readonly lua: string; readonly sha: string };

/** A line of a script that stands for a fragment: a file beside it, named without its ending. */
const includeLine = /^--- @include "(.+)"$/gm;

/** A name in a script that stands for a field's stored name (records.ts). */
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
  // A name that is not all of a single-quoted text would reach Redis as it stands.
  const left = /^(?!\s*--).*?(@\w+\.\w+)/m.exec(named)?.[1];
  if (left !== undefined) throw new Error(`${path}: ${left} is not a whole text in single quotes`);
  return named;
}

/**
 * Runs a script by its hash; a Redis that does not know it yet (new, restarted) gets the text, unless
 * `isWanted` says that what the caller has sent meanwhile must not be overtaken by it.
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
