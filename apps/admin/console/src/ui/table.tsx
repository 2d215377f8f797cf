import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { useListKeys } from './list-keys.ts';

export type Column<Row> = {
  /** Of the header cell; unique in the table. */
  title: string;
  cell(row: Row): ComponentChildren;
  /** Numbers are aligned at the right. */
  isNumber?: boolean;
  /** Left out on narrow screens. */
  isMinor?: boolean;
  /** The last column, of buttons: it stays in view while the other columns scroll below it. */
  isAction?: boolean;
  /**
   * As CSS has it. If a column has one, columns keep their widths whatever their cells hold: a list that changes every
   * second is not laid out anew.
   */
  width?: string;
};

export type TableProps<Row> = {
  /** What the table lists, for screen readers. */
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf(row: Row): string;
  /** Where a row leads; its first cell becomes a link. */
  hrefOf?(row: Row): string | undefined;
  toneOf?(row: Row): string | undefined;
  /** Shown in place of no rows. */
  empty?: ComponentChildren;
};

/** Pixels of a row (style.css, `--row`). All rows have this height, so only the visible ones need to exist. */
const rowPx = 36;
/** Rows from which a table renders only those on screen: 500 rows that change every second cost a frame otherwise. */
const windowedFrom = 80;
/** Rows that are rendered above and below the screen. */
const marginRows = 8;

/** A list of rows. With `hrefOf`, j and k move a selection and Enter opens it. */
export function Table<Row>(props: TableProps<Row>) {
  const { rows, columns, keyOf, hrefOf } = props;
  const body = useRef<HTMLTableSectionElement>(null);
  const isWindowed = rows.length >= windowedFrom;
  const hasWidths = columns.some(({ width }) => width !== undefined);
  const [first, last] = useVisibleRows(body, rows.length, isWindowed);
  const frame = useRef<HTMLDivElement>(null);
  const overflow = useOverflow(frame, rows.length > 0);
  const selected = useListKeys({
    keys: hrefOf ? rows.map(keyOf) : [],
    hrefOf: (index) => {
      const row = rows[index];
      return row === undefined ? undefined : hrefOf?.(row);
    },
    reveal: (index) => {
      reveal(body.current, index);
      // After the rendering: a screen reader reads the row, and Enter opens it.
      requestAnimationFrame(() =>
        body.current
          ?.querySelector<HTMLElement>('tr[aria-current] a')
          ?.focus({ preventScroll: true }),
      );
    },
  });

  if (rows.length === 0 && props.empty !== undefined) return <>{props.empty}</>;
  // A table that is wider than the screen is scrolled by its links, or by itself.
  const hasLink = rows.some((row) => hrefOf?.(row) !== undefined);
  return (
    <div
      class="table-frame"
      ref={frame}
      data-overflow={overflow}
      tabIndex={hasLink ? undefined : 0}
    >
      <table
        aria-label={props.label}
        aria-rowcount={rows.length + 1}
        class={hasWidths ? 'fixed' : undefined}
      >
        {hasWidths && (
          <colgroup>
            {columns.map((column) => (
              <col
                key={column.title}
                class={classOf(column)}
                style={column.width === undefined ? undefined : { width: column.width }}
              />
            ))}
          </colgroup>
        )}
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.title} scope="col" class={classOf(column)}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody ref={body}>
          {first > 0 && <tr aria-hidden="true" class="spacer" style={{ height: first * rowPx }} />}
          {rows.slice(first, last).map((row, offset) => {
            const key = keyOf(row);
            const href = hrefOf?.(row);
            return (
              <tr
                key={key}
                aria-rowindex={first + offset + 2}
                aria-current={selected === key ? 'true' : undefined}
                data-tone={props.toneOf?.(row)}
              >
                {columns.map((column, index) => (
                  <td key={column.title} class={classOf(column)} data-title={column.title}>
                    {index === 0 && href !== undefined ? (
                      <a href={href}>{column.cell(row)}</a>
                    ) : (
                      column.cell(row)
                    )}
                  </td>
                ))}
              </tr>
            );
          })}
          {last < rows.length && (
            <tr
              aria-hidden="true"
              class="spacer"
              style={{ height: (rows.length - last) * rowPx }}
            />
          )}
        </tbody>
      </table>
    </div>
  );
}

function classOf<Row>({ isNumber, isMinor, isAction }: Column<Row>): string | undefined {
  const classes = [isNumber && 'number', isMinor && 'minor', isAction && 'action'];
  return classes.filter((one) => typeof one === 'string').join(' ') || undefined;
}

type Overflow = 'left' | 'right' | 'both' | undefined;

/** On which sides of its frame a table goes on; undefined: all of it is in view. */
function useOverflow(frame: { current: HTMLElement | null }, isShown: boolean): Overflow {
  const [overflow, setOverflow] = useState<Overflow>(undefined);
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const measure = () => {
      const isLeft = element.scrollLeft > 1;
      const isRight = element.scrollWidth - element.clientWidth - element.scrollLeft > 1;
      setOverflow(isLeft ? (isRight ? 'both' : 'left') : isRight ? 'right' : undefined);
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    if (element.firstElementChild) observer.observe(element.firstElementChild);
    element.addEventListener('scroll', measure, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener('scroll', measure);
    };
  }, [isShown]);
  return overflow;
}

function reveal(body: HTMLTableSectionElement | null, index: number): void {
  if (!body) return;
  const top = body.getBoundingClientRect().top + index * rowPx;
  if (top < 120) window.scrollBy({ top: top - 120 });
  else if (top + rowPx > window.innerHeight - 40) {
    window.scrollBy({ top: top + rowPx - window.innerHeight + 40 });
  }
}

/** The range of rows that are on screen, which the page scrolls. */
function useVisibleRows(
  body: { current: HTMLTableSectionElement | null },
  length: number,
  isWindowed: boolean,
): [first: number, last: number] {
  const [range, setRange] = useState<[number, number]>([0, windowedFrom]);
  const measure = () => {
    if (!body.current) return;
    const top = body.current.getBoundingClientRect().top;
    // Rounded, so that a scroll by one row renders nothing.
    const first = Math.max(0, Math.floor(-top / rowPx / marginRows) * marginRows - marginRows);
    const shown = Math.ceil(window.innerHeight / rowPx) + 3 * marginRows;
    setRange((before) =>
      before[0] === first && before[1] === first + shown ? before : [first, first + shown],
    );
  };
  useLayoutEffect(() => {
    if (isWindowed) measure();
  }, [isWindowed, length]);
  useEffect(() => {
    if (!isWindowed) return;
    addEventListener('scroll', measure, { passive: true });
    addEventListener('resize', measure);
    return () => {
      removeEventListener('scroll', measure);
      removeEventListener('resize', measure);
    };
  }, [isWindowed]);
  if (!isWindowed) return [0, length];
  return [Math.min(range[0], Math.max(0, length - 1)), Math.min(range[1], length)];
}
