import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { theme } from '../shell/theme.ts';

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
  /** Pixels. @defaultValue 160 */
  height?: number;
};

/** A chart over time, drawn by uPlot on a canvas. */
export function Chart({ label, times, lines, format, height = 160 }: ChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const shape = lines.map((line) => `${line.label} ${line.color}`).join('\n');
  const showsTheme = theme.value;

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
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
          { ...axis, space: 70 },
          { ...axis, size: 58, values: (_, ticks) => ticks.map(format) },
        ],
        series: [
          {},
          ...lines.map((line) => ({
            label: line.label,
            stroke: color(line.color),
            width: 1.6,
            points: { show: false },
            value: (_: uPlot, value: number | null) => (value === null ? '–' : format(value)),
            ...(line.isFilled === true ? { fill: `${color(line.color)}22` } : {}),
          })),
        ],
      },
      dataOf(times, lines),
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
  }, [shape, height, showsTheme]);

  useEffect(() => plot.current?.setData(dataOf(times, lines)), [times, lines]);

  return (
    <div
      class="chart"
      ref={frame}
      role="img"
      aria-label={`${label}. ${summary(lines, format)}`}
      style={{ minHeight: height }}
    />
  );
}

const dataOf = (times: readonly number[], lines: readonly Line[]): uPlot.AlignedData => [
  times.map((time) => time / 1000),
  ...lines.map((line) => [...line.values]),
];

/** The newest value of each line in words. */
const summary = (lines: readonly Line[], format: (value: number) => string): string =>
  lines
    .map(({ label, values }) => {
      const newest = values.findLast((value) => value !== null);
      return `${label}: ${newest === undefined || newest === null ? 'no data' : format(newest)}`;
    })
    .join(', ');
