import { median } from '../load/samples.ts';
import type { Summary } from '../load/samples.ts';
import type { Goal } from '../goal.ts';
import { number, type Part, table } from '../table.ts';
import type { PoolsRound, Throughput } from './run.ts';

export const POOLS_HEADING =
  'pools: the worker’s connection pool against a TLS server of its own process, medians of the rounds.\n' +
  '`one each` asks for a new connection with every request; sessions are resumed there as well.';

const LEVELS = ['p50', 'p99', 'max'] as const;

export function poolsReport(rounds: readonly PoolsRound[]): Part[] {
  const load = (name: string, kind: 'pooled' | 'single'): string[] => {
    const of = (pick: (one: Throughput) => number): number =>
      median(rounds.map((round) => pick(round[kind])));
    return [
      name,
      number(of((one) => one.requests)),
      number(of((one) => one.requestsPerSecond)),
      `${number(
        of((one) => one.reuseRate * 100),
        2,
      )}%`,
      number(of((one) => one.handshakesPerSecond)),
      number(of((one) => one.resumed)),
      number(
        of((one) => one.headMs.p50),
        2,
      ),
      number(
        of((one) => one.headMs.p99),
        2,
      ),
    ];
  };
  const first = (name: string, kind: 'warm' | 'cold'): string[] => [
    name,
    number(median(rounds.map((round) => round[kind].count))),
    ...LEVELS.map((level) => number(levelOf(rounds, kind, level), 2)),
    number(rounds.reduce((sum, round) => sum + round.inPath[kind], 0)),
  ];
  const streams = (name: string, kind: 'http1' | 'http2'): string[] => [
    name,
    ...(['requests', 'cpuMicros', 'connections'] as const).map((field) =>
      number(median(rounds.map((round) => round[kind][field]))),
    ),
  ];
  return [
    table(
      ['c=64', 'requests', 'req/s', 'reused', 'handshakes/s', 'resumed', 'head p50 ms', 'p99'],
      [load('pooled', 'pooled'), load('one each', 'single')],
    ),
    table(
      ['c=64, streams of 20 chunks', 'streams', 'CPU us each', 'connections'],
      [streams('HTTP/1.1', 'http1'), streams('HTTP/2', 'http2')],
    ),
    table(
      [
        'first request to a backup, ms to the head',
        'requests',
        ...LEVELS,
        'connections in its path',
      ],
      [first('warm', 'warm'), first('cold', 'cold')],
    ),
  ];
}

const levelOf = (
  rounds: readonly PoolsRound[],
  kind: 'warm' | 'cold',
  level: keyof Summary,
): number => median(rounds.map((round) => round[kind][level]));

/** The worst round decides. */
export function goalsOfPools(rounds: readonly PoolsRound[]): Goal[] {
  const reuse = Math.min(...rounds.map(({ pooled }) => pooled.reuseRate));
  const ratio = Math.min(
    ...rounds.map(({ pooled, single }) => pooled.requestsPerSecond / single.requestsPerSecond),
  );
  const inPath = rounds.reduce((sum, round) => sum + round.inPath.warm, 0);
  const verdict = (isMet: boolean) => (isMet ? 'met' : 'missed');
  return [
    {
      text: 'pooled: more than 99 % of requests on a used connection',
      verdict: verdict(reuse > 0.99),
      evidence: `${number(reuse * 100, 2)} %`,
    },
    {
      text: 'pooled: >= 5 x the requests a second of one connection each',
      verdict: verdict(ratio >= 5),
      evidence: `${number(ratio, 1)} x`,
    },
    {
      text: 'warm backup: no connection opened in the path of its first request',
      verdict: verdict(inPath === 0),
      evidence: `${inPath} of ${rounds.reduce((sum, { warm }) => sum + warm.count, 0)}`,
    },
  ];
}
