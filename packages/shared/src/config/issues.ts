import type { z } from 'zod';
import type { ConfigDocument, Path } from './document.ts';
import type { FieldProblem } from './fields.ts';
import { hint, quote } from './rules.ts';
import type { RuleProblem } from './rules.ts';

/* The words for what the schema refuses, for the config file and for the admin API. */

/** The data that was checked, and where its values came from. */
type Checked = Pick<ConfigDocument, 'value' | 'variablesOf'>;

/** Turns a zod issue into our own path and message. */
export function describeIssue(issue: z.core.$ZodIssue, document: Checked): RuleProblem[] {
  const path = issue.path.map((segment) =>
    typeof segment === 'number' ? segment : String(segment),
  );
  if (issue.code === 'unrecognized_keys') {
    const known = issue.message.split(' ');
    return issue.keys.map((key) => {
      const near = hint(key, known);
      const message = `unknown field${near || `; expected one of ${known.join(', ')}`}`;
      return { path: [...path, key], message };
    });
  }
  const value = valueAt(document.value, path);
  if (issue.code === 'custom') {
    const { expected, confidential } = issue.params as FieldProblem;
    return [
      { path, message: `expected ${expected}, found ${show(value, path, confidential, document)}` },
    ];
  }
  const expected =
    issue.code === 'invalid_type' && issue.expected === 'array'
      ? 'a list'
      : 'a mapping (name: value)';
  return [{ path, message: `expected ${expected}, found ${show(value, path, true, document)}` }];
}

function show(value: unknown, path: Path, confidential: boolean, document: Checked): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  const variables = document.variablesOf(path);
  if (variables.length > 0) {
    const names = variables.map((name) => `\${${name}}`).join(' and ');
    return value === '' ? `nothing in ${names}` : `the value of ${names} (not shown)`;
  }
  // The only public field that may contain secrets is a URL with credentials or a query.
  const suspicious = typeof value === 'string' && /[@?]/.test(value);
  if (confidential || suspicious)
    return value === '' ? 'an empty text' : `a ${typeof value} (not shown)`;
  return typeof value === 'string' ? quote(value) : JSON.stringify(value);
}

function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const segment of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = Reflect.get(value, segment);
  }
  return value;
}

/** `models.gpt-4o.targets[0].provider`; names with other characters are quoted. */
export function printPath(path: Path): string {
  let text = '';
  for (const segment of path) {
    if (typeof segment === 'number') text += `[${segment}]`;
    else if (!/^[\w-]+$/.test(segment)) text += `[${quote(segment)}]`;
    else text += text === '' ? segment : `.${segment}`;
  }
  return text;
}
