import { withBuiltIn } from './simulated-providers.ts';
import { readDocument, type Path } from './document.ts';
import { describeIssue, printPath } from './issues.ts';
import { brokenRules } from './rules.ts';
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
    ...(parsed.error?.issues ?? []).flatMap((issue) => describeIssue(issue, document)),
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

function inOrder(problems: { line: number; column: number; text: string }[]): string[] {
  const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
  return [...new Set(sorted.map(({ text }) => text))];
}
