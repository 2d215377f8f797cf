import { asExpected } from './case.ts';
import type { CrashCase, Outcome, ProfileName } from './case.ts';
import { CASES, FAMILIES } from './cases/index.ts';
import { NOT_RUN } from './cases/not-run.ts';
import type { NotRun } from './cases/not-run.ts';

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

/** An unexpected verdict is marked. */
function verdictCell({ crashCase, outcome }: Result): string {
  return `${outcome.verdict}${asExpected(crashCase, outcome) ? '' : ' !'}`;
}

const milliseconds = (ms: number | undefined): string =>
  ms === undefined ? '-' : String(Math.round(ms));

/** One row for each case in columns, and below it its remark; last, the cases that were not run. */
export function scorecard(results: readonly Result[], notRun: readonly NotRun[] = []): string {
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
  const absent = notRun.flatMap(({ id, title, reason }) => [
    line([id, 'not run', ...Array.from({ length: COLUMNS.length - 3 }, () => '-'), title]),
    `       ${reason}`,
  ]);
  const head = line(COLUMNS.map(([title]) => title));
  return [head, widths.map((width) => '-'.repeat(width)).join('  '), ...body, ...absent].join('\n');
}

function notesOf({ outcome: { reason, figures = {} } }: Result): string {
  const measured = Object.entries(figures).map(([name, value]) => `${name} ${value}`);
  return [reason, measured.join(', ')].filter((text) => text !== '').join(' · ');
}

/** `16 of 16`, for each family of cases and in total; cases that were not run are mentioned. */
export function totals(results: readonly Result[], notRun: readonly NotRun[] = []): string {
  const count = (some: readonly Result[], absent: readonly NotRun[]): string => {
    const right = some.filter(({ crashCase, outcome }) => asExpected(crashCase, outcome)).length;
    const missing = absent.map(({ id }) => id).join(', ');
    return `${right} of ${some.length}${missing === '' ? '' : `; not run: ${missing}`}`;
  };
  const families = Object.entries(FAMILIES).flatMap(([letter, name]) => {
    const some = results.filter(({ crashCase }) => crashCase.id.startsWith(letter));
    const absent = notRun.filter(({ id }) => id.startsWith(letter));
    return some.length === 0 ? [] : [`${name}: ${count(some, absent)}`];
  });
  return families.length > 1
    ? [...families, `all: ${count(results, notRun)}`].join('\n')
    : families.join('');
}

export function toJson(
  results: readonly Result[],
  notRun: readonly NotRun[],
  about: Readonly<Record<string, unknown>>,
): string {
  const cases = results.map(({ crashCase, outcome }) => ({
    id: crashCase.id,
    title: crashCase.title,
    expected: crashCase.expected ?? ['pass'],
    asExpected: asExpected(crashCase, outcome),
    ...outcome,
  }));
  const counts = totals(results, notRun).split('\n');
  return `${JSON.stringify({ ...about, totals: counts, cases, notRun }, null, 1)}\n`;
}

export function list(profile: ProfileName): string {
  const lines = CASES.map((one) =>
    one.kind === 'provider'
      ? `${one.id}  ${one.primary[profile].padEnd(38)} ${one.backup[profile].padEnd(48)} ${one.title}`
      : `${one.id}  ${one.title}`,
  );
  const absent = NOT_RUN.map(({ id, title }) => `${id}  not run: ${title}`);
  return `${[...lines, ...absent].join('\n')}\n`;
}
