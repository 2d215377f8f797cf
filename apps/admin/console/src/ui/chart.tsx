import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { theme } from '../shell/theme.ts';
import { useIdle } from './use-idle.ts';

export type Line = {
  label: string;
  /** A custom property of style.css without its dashes: `accent`, `seam`, `bad`, `series-1` … */
  color: string;
  /** One value for each time; null leaves a gap. */
  values: readonly (number | null)[];
  isFilled?: boolean;
};

export type ChartProps = {
  /** What it shows, for screen readers. */
  label: string;
  /** Milliseconds since the epoch, rising. */
  times: readonly number[];
  lines: readonly Line[];
  /** Of the axis and the legend. */
  format(value: number): string;
  /** The values are counts: the axis has no fractions. */
  isWhole?: boolean;
  /** Pixels. @defaultValue 160 */
  height?: number;
  /** The lines are parts of a whole: bars on top of each other, the first line at the top. */
  isStacked?: boolean;
};

/** A chart over time, drawn by uPlot on a canvas. */
export function Chart(props: ChartProps) {
  const { label, times, lines, format, isWhole, height = 160, isStacked = false } = props;
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  // The values that the legend shows are those of the lines, not the heights of the stack.
  const latest = useRef(lines);
  latest.current = lines;
  const shape = lines.map((line) => `${line.label} ${line.color}`).join('\n');
  const showsTheme = theme.value;
  const isIdle = useIdle();

  useEffect(() => {
    const element = frame.current;
    if (!element || !isIdle) return;
    const style = getComputedStyle(document.documentElement);
    const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
    const axis = {
      stroke: color('muted'),
      grid: { stroke: color('line'), width: 1 },
      ticks: { stroke: color('line'), width: 1 },
      font: '11px system-ui',
    };
    const made = new uPlot(
      {
        width: element.clientWidth || 300,
        height,
        cursor: { points: { size: 6 } },
        legend: { show: lines.length > 1, live: true },
        scales: {
          x: { time: true },
          y: { range: (_, _min, max) => [0, max > 0 ? max * 1.08 : 1] },
        },
        axes: [
          { ...axis, space: 70, values: timeLabels },
          {
            ...axis,
            size: labelWidth,
            values: (_, ticks) => ticks.map(format),
            ...(isWhole === true ? { incrs: wholeSteps } : {}),
          },
        ],
        series: [
          {},
          ...lines.map((line) => ({
            label: line.label,
            stroke: color(line.color),
            // A line cannot show a value between two gaps.
            points: { show: true, size: 5, filter: isolated },
            value: (_: uPlot, _height: number | null, series: number, index: number | null) => {
              const value = index === null ? null : latest.current[series - 1]?.values[index];
              return value === null || value === undefined ? '–' : format(value);
            },
            ...(isStacked
              ? { width: 0, fill: color(line.color), paths: bars }
              : { width: 1.6, ...(line.isFilled === true && { fill: `${color(line.color)}22` }) }),
          })),
        ],
      },
      dataOf(times, lines, isStacked),
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
    // The data is set below; new lines or colours need a new plot.
  }, [shape, height, isStacked, showsTheme, isIdle]);

  useEffect(
    () => plot.current?.setData(dataOf(times, lines, isStacked)),
    [times, lines, isStacked],
  );

  return (
    <div
      class={isStacked ? 'chart stacked' : 'chart'}
      ref={frame}
      role="img"
      aria-label={`${label}. ${summary(lines, format)}`}
      style={{ minHeight: height }}
    />
  );
}

const bars = uPlot.paths.bars?.({ size: [0.85, 40] }) ?? (() => null);

/**
 * Labels by the step of the axis in seconds, with 24 hours as everywhere else. uPlot's columns: step, label, and what is added
 * when the year, the day, the minute changes.
 */
const timeLabels: uPlot.Axis.Values = [
  [86_400, '{YYYY}-{MM}-{DD}', null, null, null, null, null, null, 1],
  [60, '{HH}:{mm}', '\n{YYYY}-{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
  [1, '{HH}:{mm}:{ss}', '\n{YYYY}-{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
];

/** Pixels of the longest label beside the chart, at 6.5 a character, with its tick and the gaps. */
const labelWidth = (_: uPlot, labels: string[] | null): number =>
  Math.max(44, 22 + 6.5 * Math.max(0, ...(labels ?? []).map((label) => label.length)));

/** Steps of an axis of counts. */
const wholeSteps = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8].flatMap((by) => [by, 2 * by, 5 * by]);

/** The positions of values without a neighbour. */
function isolated(plot: uPlot, series: number): number[] {
  const values = plot.data[series] ?? [];
  const found: number[] = [];
  for (let i = 0; i < values.length; i += 1) {
    if (values[i] != null && values[i - 1] == null && values[i + 1] == null) found.push(i);
  }
  return found;
}

function dataOf(
  times: readonly number[],
  lines: readonly Line[],
  isStacked: boolean,
): uPlot.AlignedData {
  const values = lines.map((line) => [...line.values]);
  // The later lines are drawn over the earlier ones, so each bar ends at the sum of its own and those below it.
  if (isStacked) {
    for (let line = values.length - 2; line >= 0; line -= 1) {
      const below = values[line + 1];
      values[line] = (values[line] ?? []).map((value, at) => (value ?? 0) + (below?.[at] ?? 0));
    }
  }
  return [times.map((time) => time / 1000), ...values];
}

/** The newest value of each line in words. */
const summary = (lines: readonly Line[], format: (value: number) => string): string =>
  lines
    .map(({ label, values }) => {
      const newest = values.findLast((value) => value !== null);
      return `${label}: ${newest === undefined || newest === null ? 'no data' : format(newest)}`;
    })
    .join(', ');
