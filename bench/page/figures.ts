import { figuresOf } from '../compare/figures.ts';
import type { Measurement } from '../compare/costs.ts';
import { bestSteps, type DensityResult } from '../density/run.ts';
import type { MemoryResult } from '../footprint/memory.ts';
import type { SystemName } from '../systems/system.ts';
import type { Chart } from './charts.ts';

/** A chart and the file that it is written to; `lane` is the one below which the page shows it. */
export interface Figure {
  file: string;
  lane: string;
  chart: Chart;
}

/** The raw figures of the lanes that were run, by their key. */
export interface Records {
  compare?: { measurements: Measurement[] };
  memory?: { systems: MemoryResult[] };
  density?: { systems: DensityResult[] };
}

const MEGABYTE = 1024 * 1024;

/** The charts that these lanes give; those without a figure are left out. */
export function figuresFrom({ compare, memory, density }: Records): Figure[] {
  const figures: Figure[] = [
    ...compareFigures(compare?.measurements ?? []),
    { file: 'memory.svg', lane: 'memory', chart: memoryChart(memory?.systems ?? []) },
    { file: 'density.svg', lane: 'density', chart: densityChart(density?.systems ?? []) },
  ];
  return figures.filter(({ chart }) => chart.values.length > 0);
}

function compareFigures(all: readonly Measurement[]): Figure[] {
  const systems = [...new Set(all.map(({ system }) => system))];
  const points = [...new Set(all.map(({ point }) => point))];
  const one = (point: string, system: SystemName) => figuresOf(all, point, system);
  const bars = (point: string, of: (figures: NonNullable<ReturnType<typeof one>>) => number) =>
    systems.flatMap((system) => {
      const figures = one(point, system);
      const value = figures ? of(figures) : Number.NaN;
      return value > 0 ? [{ label: system, part: system, value }] : [];
    });
  const lane = 'compare';
  return [
    {
      file: 'first-token.svg',
      lane,
      chart: {
        kind: 'bars',
        title: 'Time to first token beyond the upstream’s own, one request at a time (p50)',
        unit: 'ms',
        values: bars('c1', (figures) => figures.added.p50.median).map(plain),
      },
    },
    {
      file: 'requests.svg',
      lane,
      chart: {
        kind: 'bars',
        title: 'Requests a second, 64 at a time, 20 chunks each',
        unit: 'requests/s',
        values: bars('load c=64', (figures) => figures.requestsPerSecond.median).map(plain),
      },
    },
    {
      file: 'cpu-per-chunk.svg',
      lane,
      chart: {
        kind: 'bars',
        title: 'CPU of all processes for a chunk of a paced stream',
        unit: 'µs',
        values: points
          .filter((point) => point.startsWith('streams'))
          .flatMap((point) => systems.flatMap((system) => cpuParts(all, point, system))),
      },
    },
    {
      file: 'ladder.svg',
      lane,
      chart: {
        kind: 'lines',
        title: 'Time of a whole request at a fixed rate (p99)',
        x: 'requests/s',
        y: 'ms',
        logX: true,
        values: points
          .filter((point) => point.startsWith('open'))
          .flatMap((point) =>
            systems.flatMap((system) => {
              const figures = one(point, system);
              if (!figures) return [];
              return [{ system, x: figures.offered.median, y: figures.total.p99.median }];
            }),
          ),
      },
    },
  ];
}

/** One colour for all, because the labels distinguish the systems. */
const plain = <Bar extends { part: string }>(bar: Bar): Bar => ({ ...bar, part: 'system' });

function cpuParts(all: readonly Measurement[], point: string, system: SystemName) {
  const figures = figuresOf(all, point, system);
  if (!figures || !(figures.cpuPerChunk.median > 0)) return [];
  const roles = Object.entries(figures.busy);
  const busy = roles.reduce((sum, [, part]) => sum + part, 0);
  return roles.map(([role, part]) => ({
    label: `${system}, ${point.replace('streams ', '')}`,
    part: roles.length > 1 ? role : 'one process',
    value: (figures.cpuPerChunk.median * part) / busy,
  }));
}

function memoryChart(systems: readonly MemoryResult[]): Chart {
  const moments = { idle: 'fresh', afterLoad: 'after load', recovered: 'later' } as const;
  return {
    kind: 'bars',
    title: 'Memory of all processes',
    unit: 'MB resident',
    values: systems.flatMap((result) =>
      (['idle', 'afterLoad', 'recovered'] as const).flatMap((moment) => {
        const roles = Object.entries(result[moment]);
        return roles.map(([role, bytes]) => ({
          label: `${result.system}, ${moments[moment]}`,
          part: roles.length > 1 ? role : 'one process',
          value: bytes / MEGABYTE,
        }));
      }),
    ),
  };
}

function densityChart(systems: readonly DensityResult[]): Chart {
  return {
    kind: 'lines',
    title: 'Gap between two chunks of paced streams (p99)',
    x: 'streams at a time',
    y: 'ms',
    values: systems.flatMap(({ system, steps }) =>
      bestSteps(steps).map(({ streams, gapP99 }) => ({ system, x: streams, y: gapP99 })),
    ),
  };
}
