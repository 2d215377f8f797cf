import { isJsonObject } from '../domain/json.ts';
import { describeIssue, printPath } from './issues.ts';
import { unknownModels } from './rules.ts';
import { keySettings, section } from './schema.ts';
import type { KeySettings } from './types.ts';

/* The settings of keys that are made over the admin API: the same fields, rules and words as in the config file. */

export type FieldError = { readonly field: string; readonly message: string };

export type ReadSettings =
  | { readonly kind: 'read'; readonly settings: KeySettings }
  | { readonly kind: 'wrong'; readonly errors: readonly FieldError[] };

const schema = section(keySettings);

/** `value`: some of the fields; the others get their defaults. `models`: the aliases of the config. */
export function readKeySettings(value: unknown, models: readonly string[]): ReadSettings {
  const parsed = schema.safeParse(value);
  const found = [
    ...(parsed.error?.issues ?? []).flatMap((issue) =>
      describeIssue(issue, { value, variablesOf: () => [] }),
    ),
    ...(isJsonObject(value) ? unknownModels(value['models'], models) : []),
  ];
  if (parsed.success && found.length === 0) return { kind: 'read', settings: parsed.data };
  const errors = found.map(({ path, message }) => ({ field: printPath(path), message }));
  return { kind: 'wrong', errors };
}

export const keySettingNames: readonly string[] = Object.keys(keySettings);
