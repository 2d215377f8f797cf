export type Column<T> = {
  title: string;
  /** A dash stands for undefined and null. */
  cell(row: T): string | number | null | undefined;
  /** @defaultValue 'left' */
  align?: 'left' | 'right';
};

/** A table in plain text, with a head; two spaces between columns. */
export function table<T>(rows: readonly T[], columns: readonly Column<T>[]): string {
  const cells = rows.map((row) => columns.map(({ cell }) => oneLine(cell(row) ?? '-')));
  const all = [columns.map(({ title }) => title), ...cells];
  const widths = columns.map((_, place) => Math.max(...all.map((row) => row[place]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, place) => {
        const width = widths[place] ?? 0;
        return columns[place]?.align === 'right' ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  return all.map((row) => `${line(row)}\n`).join('');
}

/** Names come from clients and config files: no control character of theirs reaches a terminal. */
export const oneLine = (value: string | number): string =>
  String(value).replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ');
