import { type Figures, figuresOf } from './figures.ts';
import type { Measurement } from './measure.ts';
import type { SystemName } from './systems/system.ts';

export interface Goal {
  text: string;
  verdict: 'met' | 'missed' | 'not measured';
  /** What was compared, in words; empty when not measured. */
  evidence: string;
}

/** How Millrace stands to the goals it was given. A verdict informs; it fails no run. */
export function goalsOf(all: readonly Measurement[]): Goal[] {
  return [
    goal('c1: added time to first token p50 <= 2 ms', all, 'c1', 'direct', ({ ours }) => {
      const added = ours.added.p50.median;
      return { met: added <= 2, evidence: `${added.toFixed(2)} ms` };
    }),
    goal('load c=64: >= 1.5 x portkey', all, 'load c=64', 'portkey', ({ ours, theirs }) => {
      const ratio = ours.requestsPerSecond.median / theirs.requestsPerSecond.median;
      return { met: ratio >= 1.5, evidence: `${ratio.toFixed(2)} x` };
    }),
    goal(
      'streams n=300: CPU per chunk <= 1.1 x portkey',
      all,
      'streams n=300',
      'portkey',
      ({ ours, theirs }) => {
        const ratio = ours.cpuPerChunk.median / theirs.cpuPerChunk.median;
        return { met: ratio <= 1.1, evidence: `${ratio.toFixed(2)} x` };
      },
    ),
  ];
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
  // A system that answers wrongly is fast for nothing.
  if (ours.errors > 0 || theirs.errors > 0) {
    const counts = `errors: millrace ${ours.errors}, ${against} ${theirs.errors}`;
    return { text, verdict: 'missed', evidence: counts };
  }
  const { met, evidence } = judge({ ours, theirs });
  return { text, verdict: met ? 'met' : 'missed', evidence };
}
