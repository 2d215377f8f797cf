import { isDeepStrictEqual } from 'node:util';
import type { Checked } from '@millrace/shared/config';
import { isJsonObject } from '@millrace/shared/domain/json';
import { redacted, webhookUrl } from './redacted-config.ts';

/** A field that differs. Of secrets it says that they differ, and no more. */
export type Difference = {
  /** As in `GET /admin/config`; items of a list of keys are named by their id. */
  path: string;
  /** Null: it is not there. */
  from: unknown;
  to: unknown;
  needs_restart: boolean;
};

export const maxDifferences = 1000;

/** What differs between two configs, in the order of their fields, at most `maxDifferences`. */
export function configDiff({
  before,
  after,
  needsRestart,
  shown: inWords,
}: NonNullable<Checked['change']>): { diff: Difference[]; truncated: boolean } {
  const restarting = new Set(needsRestart);
  const all = [...differences(before, after, [])];
  const diff = all.slice(0, maxDifferences).map(({ path, from, to }) => ({
    path: inWords(path.join('.')),
    from: mapTexts(shown(from, path), inWords),
    to: mapTexts(shown(to, path), inWords),
    // A section that is new as a whole is named by its own path.
    needs_restart: path.some((_, i) => restarting.has(fileName(path.slice(0, i + 1)))),
  }));
  return { diff, truncated: all.length > maxDifferences };
}

function mapTexts(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === 'string') return map(value);
  if (Array.isArray(value)) return value.map((inner) => mapTexts(inner, map));
  if (!isJsonObject(value)) return value;
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([name, inner]) => [name, mapTexts(inner, map)]));
}

type Change = { path: readonly string[]; from: unknown; to: unknown };

function* differences(from: unknown, to: unknown, path: readonly string[]): Generator<Change> {
  if (isDeepStrictEqual(from, to)) return;
  const [before, after] = [fieldsOf(from), fieldsOf(to)];
  if (!before || !after) {
    yield { path, from, to };
    return;
  }
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    yield* differences(before[name], after[name], [...path, name]);
  }
}

/** Of a mapping, or of a list whose items have ids; undefined for other values, which change as a whole. */
function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (!Array.isArray(value)) return isJsonObject(value) ? value : undefined;
  const items = value as unknown[];
  const ids = items.map((item) => (isJsonObject(item) ? item['id'] : undefined));
  if (!ids.every((id) => typeof id === 'string') || new Set(ids).size < ids.length)
    return undefined;
  return Object.fromEntries(items.map((item, i) => [String(ids[i]), item]));
}

/** A value below the name of a secret is one, too. */
const shown = (value: unknown, path: readonly string[]): unknown =>
  value === undefined
    ? null
    : redacted(value, path.join('.') === webhookUrl ? webhookUrl : path.at(-1));

/** As the file calls it: without the unit. */
const fileName = (path: readonly string[]): string => path.join('.').replace(/(?:Ms|Bytes)$/, '');
