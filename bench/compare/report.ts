import { type Figures, figuresOf, ratioOf, type Spread } from './figures.ts';
import type { COSTS, Measurement } from './costs.ts';
import type { LoadCaseName } from '../options.ts';
import type { Point } from './plan.ts';
import { FLOORS, PACE_MS, type SystemName, TOKENS } from '../systems/system.ts';
import { number, type Part, table } from '../table.ts';

interface Column {
  title: string;
  cell(figures: Figures): string;
}

const ms = (title: string, pick: (figures: Figures) => Spread): Column => ({
  title,
  cell: (figures) => number(pick(figures).median, 2),
});

const ranged = (title: string, pick: (figures: Figures) => Spread, digits = 0): Column => ({
  title,
  cell: (figures) => {
    const { median, min, max } = pick(figures);
    if (Number.isNaN(median) || figures.rounds === 1) return number(median, digits);
    return `${number(median, digits)} (${number(min, digits)}–${number(max, digits)})`;
  },
});

const count = (title: string, pick: (figures: Figures) => number): Column => ({
  title,
  cell: (figures) => number(pick(figures)),
});

const busy = (title: string, pick: (figures: Figures) => number): Column => ({
  title,
  cell: (figures) => `${number(pick(figures) * 100)}%`,
});

const systemBusy = (figures: Figures): number =>
  Object.values(figures.busy).reduce((sum, part) => sum + part, 0);

/** CPU by process: a process at 100 % of a core was the limit. */
const CPU: Column[] = [
  busy('system', systemBusy),
  busy('generator', (figures) => figures.generatorBusy),
  busy('upstream', (figures) => figures.upstreamBusy),
  busy('idle others', (figures) => figures.othersBusy),
];

const WHOLE_REQUESTS: Column[] = [
  ranged('req/s', (figures) => figures.requestsPerSecond),
  ms('p50 ms', (figures) => figures.total.p50),
  ranged('p99 ms', (figures) => figures.total.p99, 1),
  { title: 'CPU µs/req', cell: (figures) => number(cpuOrNone(figures.cpuPerRequest)) },
  ...CPU,
  count('errors', (figures) => figures.errors),
];

const COLUMNS: Record<LoadCaseName, Column[]> = {
  c1: [
    ranged('first token p50', (figures) => figures.firstToken.p50, 2),
    ms('p95', (figures) => figures.firstToken.p95),
    ms('p99', (figures) => figures.firstToken.p99),
    ranged('added p50', (figures) => figures.added.p50, 2),
    ms('added p95', (figures) => figures.added.p95),
    ms('added p99', (figures) => figures.added.p99),
    count('requests', (figures) => figures.requests),
    count('errors', (figures) => figures.errors),
  ],
  load: WHOLE_REQUESTS,
  ladder: [ranged('offered/s', (figures) => figures.offered), ...WHOLE_REQUESTS],
  agents: [ms('first token p50', (figures) => figures.firstToken.p50), ...WHOLE_REQUESTS],
  streams: [
    count('lost', (figures) => figures.framesLost),
    count('stalls', (figures) => figures.stalls),
    ms('gap p50 ms', (figures) => figures.gap.p50),
    ranged('gap p99 ms', (figures) => figures.gap.p99, 1),
    {
      title: 'CPU µs/chunk',
      cell: (figures) =>
        figures.cpuPerChunk.median > 0
          ? ranged('', (one) => one.cpuPerChunk, 1).cell(figures)
          : '-',
    },
    { title: 'pieces/req', cell: (figures) => number(figures.piecesPerRequest.median, 1) },
    { title: 'XADD/req', cell: (figures) => number(figures.xaddsPerRequest.median, 1) },
    ...CPU,
    count('errors', (figures) => figures.errors),
  ],
};

function cpuOrNone({ median }: Spread): number | undefined {
  return median > 0 ? median : undefined;
}

/** The report of the comparison. */
export function reportOf(
  all: readonly Measurement[],
  points: readonly Point[],
  systems: readonly SystemName[],
): Part[] {
  const parts = points.flatMap((point) => pointReport(all, point, systems));
  return [...parts, ...frontier(all, points, systems)];
}

function pointReport(
  all: readonly Measurement[],
  point: Point,
  systems: readonly SystemName[],
): Part[] {
  const columns = COLUMNS[point.case];
  const measured = systems.flatMap((name) => {
    const figures = figuresOf(all, point.label, name);
    return figures ? [{ name, figures }] : [];
  });
  const rows = measured.map(({ name, figures }) => [
    name,
    ...columns.map(({ cell }) => cell(figures)),
  ]);
  const notes = [
    ...ratios(all, point, systems),
    ...measured.flatMap(({ name, figures }) => [
      ...split(name, figures),
      ...lag(name, point, figures),
      ...figures.faults.map((fault) => `${name}: ${fault}`),
    ]),
  ];
  const head = [point.label, ...columns.map(({ title }) => title)];
  return [table(head, rows), ...notes];
}

/** Late chunks arrive together and cost less, so such a run cannot be compared. */
function lag(name: SystemName, point: Point, figures: Figures): string[] {
  if (point.case !== 'streams') return [];
  const due = TOKENS[point.answer];
  const pieces = figures.piecesPerRequest.median;
  const gap = figures.gap.p50.median;
  if (pieces >= KEEPS_PACE * due && Math.abs(gap - PACE_MS) <= (1 - KEEPS_PACE) * PACE_MS)
    return [];
  const counts = `${number(pieces, 1)} pieces for ${due} chunks, gap p50 ${number(gap, 1)} ms`;
  return [`${name} did not keep pace (${counts}): its CPU per chunk looks cheaper than it is`];
}

const KEEPS_PACE = 0.9;

const RATIOS: Record<LoadCaseName, Partial<Record<keyof typeof COSTS, string>>> = {
  c1: { cpuPerRequest: 'CPU per request' },
  load: { requestsPerSecond: 'req/s', cpuPerRequest: 'CPU per request' },
  streams: { cpuPerChunk: 'CPU per chunk', gapP99: 'gap p99' },
  ladder: { cpuPerRequest: 'CPU per request' },
  agents: { requestsPerSecond: 'req/s', cpuPerRequest: 'CPU per request' },
};

/** Millrace over each of the others, as ratios of the same round. */
function ratios(
  all: readonly Measurement[],
  point: Point,
  systems: readonly SystemName[],
): string[] {
  const others = systems.filter((name) => name !== 'millrace' && !FLOORS.includes(name));
  return others.flatMap((other) => {
    const parts = (
      ['requestsPerSecond', 'cpuPerRequest', 'cpuPerChunk', 'gapP99'] as const
    ).flatMap((figure) => {
      const title = RATIOS[point.case][figure];
      const ratio = title && ratioOf(all, point.label, ['millrace', other], figure);
      if (!ratio) return [];
      return [
        `${title} ${number(ratio.median, 2)} (${number(ratio.min, 2)}–${number(ratio.max, 2)})`,
      ];
    });
    return parts.length > 0 ? [`millrace over ${other}: ${parts.join(', ')}`] : [];
  });
}

/** The CPU time of a system by its processes. */
function split(name: SystemName, figures: Figures): string[] {
  const roles = Object.entries(figures.busy);
  if (roles.length < 2) return [];
  const whole = systemBusy(figures);
  const shares = roles
    .sort(([, a], [, b]) => b - a)
    .map(
      ([role, part]) => `${role} ${number(part * 100)}% (${number((part / whole) * 100)}% of it)`,
    );
  return [`${name}'s CPU: ${shares.join(', ')}`];
}

const FRONTIER_MS = [10, 50, 100];

/** The highest rate at which a system's p99 stays below a limit. */
function frontier(
  all: readonly Measurement[],
  points: readonly Point[],
  systems: readonly SystemName[],
): Part[] {
  const loads = points.filter((point) => point.case === 'load' || point.case === 'ladder');
  if (loads.length < 3) return [];
  const rows = systems.map((name) => {
    const figures = loads.flatMap(({ label }) => {
      const one = figuresOf(all, label, name);
      return one && one.errors === 0 ? [{ label, one }] : [];
    });
    return [
      name,
      ...FRONTIER_MS.map((limit) => {
        const best = figures
          .filter(({ one }) => one.total.p99.median <= limit)
          .sort((a, b) => b.one.requestsPerSecond.median - a.one.requestsPerSecond.median)[0];
        return best ? `${number(best.one.requestsPerSecond.median)} (${best.label})` : '-';
      }),
    ];
  });
  return [table(['most req/s with p99', ...FRONTIER_MS.map((limit) => `<= ${limit} ms`)], rows)];
}
