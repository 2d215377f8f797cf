import type { z } from 'zod';
import { withBuiltIn } from './simulated-providers.ts';
import { readDocument, type ConfigDocument, type Path } from './document.ts';
import type { FieldProblem } from './fields.ts';
import { brokenRules, hint, quote } from './rules.ts';
import type { RuleProblem } from './rules.ts';
import { fileSchema, type ParsedFile } from './schema.ts';
import { doubtfulRules } from './warnings.ts';

export type FileContents =
  | {
      readonly kind: 'read';
      readonly file: ParsedFile;
      /** Built-in providers that it uses and whose URL is not in the environment. */
      readonly missing: readonly string[];
      /** Probable mistakes, in the form of problems. */
      readonly warnings: readonly string[];
      /** `FILE:LINE:COLUMN FIELD` of a field. */
      readonly placeOf: (path: Path) => string;
    }
  | { readonly kind: 'broken'; readonly problems: readonly string[] };

/**
 * Parses and checks a whole config file.
 *
 * Problems read `FILE:LINE:COLUMN FIELD: what was expected, what was found`, in the order of the file. They
 * omit what was found if it is, or may be, a secret: values of secret fields or of variables, and texts in
 * the place of a mapping.
 */
export function readConfigText(text: string, label: string, env: NodeJS.ProcessEnv): FileContents {
  const document = readDocument(text, env);
  if (document.problems.length > 0) {
    const problems = document.problems.map(({ position: { line, column }, message }) => {
      return { line, column, text: `${label}:${line}:${column}: ${message}` };
    });
    return { kind: 'broken', problems: inOrder(problems) };
  }
  const { value, missing } = withBuiltIn(document.value, env);
  const parsed = fileSchema.safeParse(value);
  const found = [
    ...brokenRules(value),
    ...(parsed.error?.issues ?? []).flatMap((issue) => describe(issue, document)),
  ];
  const placeOf = (path: Path): string => {
    const { line, column } = document.locate(path);
    return `${label}:${line}:${column}${path.length === 0 ? '' : ` ${printPath(path)}`}`;
  };
  const located = ({ path, message }: RuleProblem) => {
    return { ...document.locate(path), text: `${placeOf(path)}: ${message}` };
  };
  if (parsed.success && found.length === 0) {
    const warnings = doubtfulRules(value).map(located);
    return { kind: 'read', file: parsed.data, missing, warnings: inOrder(warnings), placeOf };
  }
  return { kind: 'broken', problems: inOrder(found.map(located)) };
}

/** Turns a zod issue into our own path and message. */
function describe(
  issue: z.core.$ZodIssue,
  document: ConfigDocument,
): { path: Path; message: string }[] {
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

function show(value: unknown, path: Path, confidential: boolean, document: ConfigDocument): string {
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

function inOrder(problems: { line: number; column: number; text: string }[]): string[] {
  const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
  return [...new Set(sorted.map(({ text }) => text))];
}
