import { withBuiltIn } from './simulated-providers.ts';
import { readDocument, type Path } from './document.ts';
import { describeIssue, printPath } from './issues.ts';
import { brokenRules } from './rules.ts';
import type { RuleProblem } from './rules.ts';
import { fileSchema, type ParsedFile } from './schema.ts';
import { doubtfulRules } from './warnings.ts';

/** A mistake, or a probable one, at its place in the text. */
export type Finding = {
  readonly line: number;
  readonly column: number;
  /** Its path, as `models.fast.targets[0].provider`; empty: the text as a whole is not valid. */
  readonly field: string;
  readonly message: string;
};

export type FileContents =
  | {
      readonly kind: 'read';
      readonly file: ParsedFile;
      /** Built-in providers that it uses and whose URL is not in the environment. */
      readonly missing: readonly string[];
      /** Probable mistakes, in the form of problems. */
      readonly warnings: readonly string[];
      readonly doubts: readonly Finding[];
      /** `FILE:LINE:COLUMN FIELD` of a field. */
      readonly placeOf: (path: Path) => string;
    }
  | {
      readonly kind: 'broken';
      readonly problems: readonly string[];
      readonly findings: readonly Finding[];
    };

/**
 * Parses and checks a whole config file.
 *
 * Problems read `FILE:LINE:COLUMN FIELD: what was expected, what was found`, in the order of the file. They
 * omit what was found if it is, or may be, a secret: values of secret fields or of variables, and texts in
 * the place of a mapping.
 */
export function readConfigText(text: string, label: string, env: NodeJS.ProcessEnv): FileContents {
  const document = readDocument(text, env);
  const print = ({ line, column, field, message }: Finding): string =>
    `${label}:${line}:${column}${field === '' ? '' : ` ${field}`}: ${message}`;
  const broken = (all: readonly Finding[]): FileContents => {
    const findings = inOrder(all);
    return { kind: 'broken', problems: [...new Set(findings.map(print))], findings };
  };
  if (document.problems.length > 0) {
    return broken(
      document.problems.map(({ position, message }) => ({ ...position, field: '', message })),
    );
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
  const located = ({ path, message }: RuleProblem): Finding => ({
    ...document.locate(path),
    field: printPath(path),
    message,
  });
  if (!parsed.success || found.length > 0) return broken(found.map(located));
  const doubts = inOrder(doubtfulRules(value).map(located));
  const warnings = [...new Set(doubts.map(print))];
  return { kind: 'read', file: parsed.data, missing, warnings, doubts, placeOf };
}

const inOrder = (findings: readonly Finding[]): Finding[] =>
  findings.toSorted((a, b) => a.line - b.line || a.column - b.column);
