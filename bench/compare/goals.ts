import { type Figures, figuresOf, ratioOf } from './figures.ts';
import type { Goal } from '../goal.ts';
import type { COSTS, Measurement } from './costs.ts';
import type { SystemName } from '../systems/system.ts';

/** The goals for Millrace's cost, with their texts; a missed goal does not fail a run. */
export function goalsOf(all: readonly Measurement[]): Goal[] {
  return [
    goal('c1: added time to first token p50 <= 1.3 ms', all, 'c1', 'direct', ({ ours }) => {
      const added = ours.added.p50.median;
      return { met: added <= 1.3, evidence: `${added.toFixed(2)} ms` };
    }),
    ratioGoal('load c=64: >= 1.6 x portkey', all, 'load c=64', 'portkey', 'requestsPerSecond', {
      atLeast: 1.6,
    }),
    ratioGoal(
      'load c=64: CPU per request <= 0.85 x portkey',
      all,
      'load c=64',
      'portkey',
      'cpuPerRequest',
      { atMost: 0.85 },
    ),
    ratioGoal(
      'streams n=150 x 64: CPU per chunk <= 1.3 x portkey',
      all,
      'streams n=150 x 64',
      'portkey',
      'cpuPerChunk',
      { atMost: 1.3 },
    ),
    ratioGoal(
      'streams n=150 x 400: CPU per chunk <= 1.0 x portkey',
      all,
      'streams n=150 x 400',
      'portkey',
      'cpuPerChunk',
      { atMost: 1 },
    ),
    ratioGoal(
      'streams n=300 x 64: gap p99 <= 1.25 x bare',
      all,
      'streams n=300 x 64',
      'bare',
      'gapP99',
      { atMost: 1.25 },
    ),
  ];
}

function ratioGoal(
  text: string,
  all: readonly Measurement[],
  point: string,
  against: SystemName,
  figure: keyof typeof COSTS,
  limit: { atLeast: number } | { atMost: number },
): Goal {
  return goal(text, all, point, against, () => {
    const ratio = ratioOf(all, point, ['millrace', against], figure)?.median ?? Number.NaN;
    const met = 'atLeast' in limit ? ratio >= limit.atLeast : ratio <= limit.atMost;
    return { met, evidence: `${ratio.toFixed(2)} x` };
  });
}

function goal(
  text: string,
  all: readonly Measurement[],
  point: string,
  against: SystemName,
  judge: (pair: { ours: Figures; theirs: Figures }) => { met: boolean; evidence: string },
): Goal {
  const ours = figuresOf(all, point, 'millrace');
  const theirs = figuresOf(all, point, against);
  if (!ours || !theirs) return { text, verdict: 'not measured', evidence: '' };
  // The speed of a system with wrong answers does not count.
  if (ours.errors > 0 || theirs.errors > 0) {
    const counts = `errors: millrace ${ours.errors}, ${against} ${theirs.errors}`;
    return { text, verdict: 'missed', evidence: counts };
  }
  const { met, evidence } = judge({ ours, theirs });
  return { text, verdict: met ? 'met' : 'missed', evidence };
}
