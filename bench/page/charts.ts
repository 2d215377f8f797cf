import type { Spec } from 'vega';
import { parse, View } from 'vega';
import { SYSTEMS } from '../systems/system.ts';

/** One bar for each label, stacked from parts. */
export interface Bars {
  kind: 'bars';
  title: string;
  unit: string;
  values: { label: string; part: string; value: number }[];
}

/** One line for each system. */
export interface Lines {
  kind: 'lines';
  title: string;
  x: string;
  y: string;
  /** For systems of different orders of magnitude. */
  logX?: boolean;
  values: { system: string; x: number; y: number }[];
}

export type Chart = Bars | Lines;

const WIDTH = 560;
const ROW = 26;
const FONT = 'system-ui, sans-serif';

/** Needs no browser: the library draws into text. */
export function svgOf(chart: Chart): Promise<string> {
  const spec = chart.kind === 'bars' ? barsSpec(chart) : linesSpec(chart);
  return new View(parse(spec), { renderer: 'none' }).toSVG();
}

const shared = (title: string) =>
  ({
    $schema: 'https://vega.github.io/schema/vega/v6.json',
    width: WIDTH,
    padding: 8,
    background: 'white',
    title: { text: title, anchor: 'start', font: FONT, fontSize: 14 },
    config: {
      axis: { labelFont: FONT, titleFont: FONT, grid: true, gridOpacity: 0.5 },
      legend: { labelFont: FONT, titleFont: FONT },
    },
  }) satisfies Spec;

function barsSpec({ title, unit, values }: Bars): Spec {
  const labels = [...new Set(values.map(({ label }) => label))];
  // Sorted, so that a part has the same colour in every chart that has the same parts.
  const parts = [...new Set(values.map(({ part }) => part))].sort();
  const sums = labels.map((label) => ({
    label,
    sum: values.reduce((sum, each) => sum + (each.label === label ? each.value : 0), 0),
  }));
  const digits = Math.max(...sums.map(({ sum }) => sum)) < 20 ? '.2f' : ',.0f';
  return {
    ...shared(title),
    height: labels.length * ROW,
    data: [
      {
        name: 'values',
        values,
        transform: [{ type: 'stack', groupby: ['label'], field: 'value' }],
      },
      { name: 'sums', values: sums },
    ],
    scales: [
      { name: 'y', type: 'band', domain: labels, range: 'height', padding: 0.2 },
      { name: 'x', domain: { data: 'sums', field: 'sum' }, range: 'width', nice: true, zero: true },
      { name: 'color', type: 'ordinal', domain: parts, range: { scheme: 'tableau10' } },
    ],
    axes: [
      { orient: 'left', scale: 'y', grid: false },
      { orient: 'bottom', scale: 'x', title: unit, tickCount: 6 },
    ],
    legends: parts.length > 1 ? [{ fill: 'color', orient: 'bottom', direction: 'horizontal' }] : [],
    marks: [
      {
        type: 'rect',
        from: { data: 'values' },
        encode: {
          enter: {
            y: { scale: 'y', field: 'label' },
            height: { scale: 'y', band: 1 },
            x: { scale: 'x', field: 'y0' },
            x2: { scale: 'x', field: 'y1' },
            fill: { scale: 'color', field: 'part' },
          },
        },
      },
      {
        type: 'text',
        from: { data: 'sums' },
        encode: {
          enter: {
            y: { scale: 'y', field: 'label', band: 0.5 },
            x: { scale: 'x', field: 'sum', offset: 4 },
            baseline: { value: 'middle' },
            font: { value: FONT },
            text: { signal: `format(datum.sum, '${digits}')` },
          },
        },
      },
    ],
  };
}

function linesSpec({ title, x, y, logX = false, values }: Lines): Spec {
  const systems = SYSTEMS.filter((name) => values.some(({ system }) => system === name));
  const across = {
    name: 'x',
    domain: { data: 'values', field: 'x' },
    range: 'width',
    nice: true,
  } as const;
  const point = {
    x: { scale: 'x', field: 'x' },
    y: { scale: 'y', field: 'y' },
  };
  return {
    ...shared(title),
    height: 280,
    data: [{ name: 'values', values, transform: [{ type: 'collect', sort: { field: 'x' } }] }],
    scales: [
      logX ? { ...across, type: 'log' } : { ...across, type: 'linear', zero: true },
      {
        name: 'y',
        type: 'log',
        domain: { data: 'values', field: 'y' },
        range: 'height',
        nice: true,
      },
      { name: 'color', type: 'ordinal', domain: [...SYSTEMS], range: { scheme: 'tableau10' } },
    ],
    axes: [
      { orient: 'left', scale: 'y', title: y, tickCount: 6, format: '~g' },
      { orient: 'bottom', scale: 'x', title: x, tickCount: 8, format: ',~f' },
    ],
    legends: [{ stroke: 'color', orient: 'right', symbolType: 'stroke', values: [...systems] }],
    marks: [
      {
        type: 'group',
        from: { facet: { name: 'system', data: 'values', groupby: 'system' } },
        marks: [
          {
            type: 'line',
            from: { data: 'system' },
            encode: {
              enter: {
                ...point,
                stroke: { scale: 'color', field: 'system' },
                strokeWidth: { value: 2 },
              },
            },
          },
          {
            type: 'symbol',
            from: { data: 'system' },
            encode: {
              enter: { ...point, fill: { scale: 'color', field: 'system' }, size: { value: 36 } },
            },
          },
        ],
      },
    ],
  };
}
