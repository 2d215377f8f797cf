/** The parts of a report: tables, and lines of text that belong to the table before them. */
export type Part = Table | string;

export interface Table {
  head: readonly string[];
  rows: readonly (readonly string[])[];
}

export const table = (head: Table['head'], rows: Table['rows']): Table => ({ head, rows });

/** For a terminal: the first column to the left, numbers to the right. */
export function asText(parts: readonly Part[]): string {
  return parts
    .map((part, i) => {
      const text = typeof part === 'string' ? part : columns(part);
      if (i === 0) return text;
      return (typeof part === 'string' ? '\n' : '\n\n') + text;
    })
    .join('');
}

function columns({ head, rows }: Table): string {
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    widths
      .map((width, i) =>
        i === 0 ? (cells[i] ?? '').padEnd(width) : (cells[i] ?? '').padStart(width),
      )
      .join('  ')
      .trimEnd();
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join(
    '\n',
  );
}

/** For a page: the same as tables and lists of Markdown. */
export function asMarkdown(parts: readonly Part[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return parts
    .map((part, i) => {
      if (typeof part === 'string') {
        const begins = typeof parts[i - 1] !== 'string';
        return `${begins && i > 0 ? '\n' : ''}- ${part.replaceAll('\n', '\n  ')}`;
      }
      const { head, rows } = part;
      const rule = head.map((_, at) => (at === 0 ? '---' : '--:'));
      return `${i > 0 ? '\n' : ''}${[head, rule, ...rows].map(line).join('\n')}`;
    })
    .join('\n');
}

/** A number with enough digits to compare, and thousands separators; `-` if there is no figure. */
export function number(value: number | undefined, digits = 0): string {
  if (value === undefined || !Number.isFinite(value)) return '-';
  return value.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}
