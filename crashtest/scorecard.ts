import { asExpected } from './case.ts';
import type { CrashCase, Outcome, ProfileName } from './case.ts';
import { CASES, FAMILIES } from './cases/index.ts';

export type Result = { crashCase: CrashCase; outcome: Outcome };

const COLUMNS: readonly [title: string, cell: (result: Result) => string][] = [
  ['case', ({ crashCase: { id } }) => id],
  ['verdict', verdictCell],
  ['primary', ({ outcome }) => String(outcome.attempts.primary)],
  ['backup', ({ outcome }) => String(outcome.attempts.backup)],
  ['first ms', ({ outcome }) => milliseconds(outcome.firstMs)],
  ['gap ms', ({ outcome }) => milliseconds(outcome.longestGapMs)],
  ['total ms', ({ outcome }) => milliseconds(outcome.totalMs)],
  ['fault', ({ crashCase: { title } }) => title],
];
const TO_THE_LEFT = new Set(['case', 'verdict', 'fault']);

/** A verdict that is not the right one is marked. */
function verdictCell({ crashCase, outcome }: Result): string {
  return `${outcome.verdict}${asExpected(crashCase, outcome) ? '' : ' !'}`;
}

const milliseconds = (ms: number | undefined): string =>
  ms === undefined ? '-' : String(Math.round(ms));

/** One row for each case in columns, and below it what is to be said of it. */
export function scorecard(results: readonly Result[]): string {
  const rows = results.map((result) => COLUMNS.map(([, cell]) => cell(result)));
  const widths = COLUMNS.map(([title], i) =>
    Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => {
        const isLeft = TO_THE_LEFT.has(COLUMNS[i]?.[0] ?? '');
        return isLeft ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0);
      })
      .join('  ')
      .trimEnd();
  const body = results.flatMap((result, i) => {
    const notes = notesOf(result);
    return [line(rows[i] ?? []), ...(notes === '' ? [] : [`       ${notes}`])];
  });
  const head = line(COLUMNS.map(([title]) => title));
  return [head, widths.map((width) => '-'.repeat(width)).join('  '), ...body].join('\n');
}

function notesOf({ outcome: { reason, figures = {} } }: Result): string {
  const measured = Object.entries(figures).map(([name, value]) => `${name} ${value}`);
  return [reason, measured.join(', ')].filter((text) => text !== '').join(' · ');
}

/** `16 of 16`, for each family of cases and in all. */
export function totals(results: readonly Result[]): string {
  const count = (some: readonly Result[]): string =>
    `${some.filter(({ crashCase, outcome }) => asExpected(crashCase, outcome)).length} of ${some.length}`;
  const families = Object.entries(FAMILIES).flatMap(([letter, name]) => {
    const some = results.filter(({ crashCase }) => crashCase.id.startsWith(letter));
    return some.length === 0 ? [] : [`${name}: ${count(some)}`];
  });
  return families.length > 1
    ? [...families, `all: ${count(results)}`].join('\n')
    : families.join('');
}

export function toJson(
  results: readonly Result[],
  about: Readonly<Record<string, unknown>>,
): string {
  const cases = results.map(({ crashCase, outcome }) => ({
    id: crashCase.id,
    title: crashCase.title,
    expected: crashCase.expected ?? ['pass'],
    asExpected: asExpected(crashCase, outcome),
    ...outcome,
  }));
  return `${JSON.stringify({ ...about, totals: totals(results).split('\n'), cases }, null, 1)}\n`;
}

export function list(profile: ProfileName): string {
  const lines = CASES.map((one) =>
    one.kind === 'provider'
      ? `${one.id}  ${one.primary[profile].padEnd(38)} ${one.backup[profile].padEnd(48)} ${one.title}`
      : `${one.id}  ${one.title}`,
  );
  return `${lines.join('\n')}\n`;
}
