import type { Goal } from '../goal.ts';
import { median } from '../load/samples.ts';
import { number, type Part, table } from '../table.ts';
import { SHAPES } from './bodies.ts';
import { STREAMS } from './run.ts';
import type { ShapeRound } from './run.ts';

export const SHAPES_HEADING = `shapes: one request body of 12 MiB beside ${STREAMS} streams of others; how late the event loops were at most,
the longest that one was at work without others, and the longest gap of a stream; medians of the rounds.`;

const GOAL_MS = 100;

export function shapesReport(rounds: readonly ShapeRound[]): Part[] {
  const rows = (['none', ...SHAPES] as const).map((shape) => {
    const some = rounds.filter((round) => round.shape === shape);
    const turn = (role: 'ingress' | 'worker', of: 'lateMs' | 'busyMs') =>
      number(median(some.map((round) => round[role][of])), 1);
    const turns = (role: 'ingress' | 'worker') => [turn(role, 'lateMs'), turn(role, 'busyMs')];
    const whole = Math.min(...some.map((round) => round.whole));
    const status = [...new Set(some.map((round) => round.status))].join(' ');
    const gap = number(median(some.map(({ gapMs }) => gapMs)), 1);
    const others = [gap, `${whole} of ${STREAMS}`];
    return [shape, status, ...turns('ingress'), ...turns('worker'), ...others];
  });
  return [
    table(
      ['body', 'answer', 'ingress late', 'busy ms', 'worker late', 'busy ms', 'gap ms', 'whole'],
      rows,
    ),
  ];
}

export function goalsOfShapes(rounds: readonly ShapeRound[]): Goal[] {
  const bodies = rounds.filter(({ shape }) => shape !== 'none');
  const shapes = SHAPES.map((shape) => bodies.filter((round) => round.shape === shape));
  const late = Math.max(
    ...shapes.map((some) =>
      median(some.map(({ ingress, worker }) => Math.max(ingress.lateMs, worker.lateMs))),
    ),
  );
  const broken = bodies.reduce((sum, { whole }) => sum + STREAMS - whole, 0);
  return [
    {
      text: `shapes: no event loop is late by ${GOAL_MS} ms`,
      verdict: late < GOAL_MS ? 'met' : 'missed',
      evidence: `${number(late, 1)} ms`,
    },
    {
      text: 'shapes: the streams of others end whole',
      verdict: broken === 0 ? 'met' : 'missed',
      evidence: `${broken} did not`,
    },
  ];
}
