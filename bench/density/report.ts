import type { Goal } from '../goal.ts';
import { number, type Part, table } from '../table.ts';
import { PACE_MS, TOKENS } from '../systems/system.ts';
import { bestSteps, type DensityResult, isGood, LIMIT_MS, type Step } from './run.ts';

export const DENSITY_HEADING =
  `density: each system alone; the most streams of ${TOKENS.middling} chunks ${PACE_MS} ms apart with a gap p99 under\n` +
  `${LIMIT_MS} ms and nothing lost. \`direct\` is what the generator and the upstream can do on this machine.`;

/** The good step with the most streams; absent if there is none. */
export function bestOf({ steps }: DensityResult): Step | undefined {
  return steps.filter(isGood).sort((a, b) => b.streams - a.streams)[0];
}

export function densityReport(results: readonly DensityResult[]): Part[] {
  const cores = (value: number): string => number(value, 2);
  const rows = results.map((result) => {
    const best = bestOf(result);
    if (!best) return [result.system, '-', '-', '-', '-', '-', '-', '-'];
    return [
      result.system,
      number(best.streams),
      best.cores > 0.01 ? number(best.streams / best.cores) : '-',
      number(best.gapP50, 1),
      number(best.gapP99, 1),
      cores(best.cores),
      cores(best.generatorCores),
      cores(best.upstreamCores),
    ];
  });
  const tried = results.map(({ system, steps }) => {
    const each = bestSteps(steps).map(
      (step) => `${number(step.streams)}: ${number(step.gapP99)} ms${lossOf(step)}`,
    );
    return `${system}'s gap p99 by streams: ${each.join(', ')}`;
  });
  const use = ['cores in use', 'generator', 'upstream'];
  const head = ['density', 'streams', 'per core', 'gap p50 ms', 'gap p99 ms', ...use];
  return [table(head, rows), ...tried];
}

const lossOf = ({ errors, framesLost }: Step): string =>
  errors + framesLost > 0 ? ` (${errors} errors, ${framesLost} frames lost)` : '';

export function goalsOfDensity(results: readonly DensityResult[]): Goal[] {
  const text = 'density: Millrace loses nothing, however many streams';
  const ours = results.find(({ system }) => system === 'millrace');
  if (!ours) return [{ text, verdict: 'not measured', evidence: '' }];
  const lost = ours.steps.reduce((sum, { framesLost }) => sum + framesLost, 0);
  return [{ text, verdict: lost === 0 ? 'met' : 'missed', evidence: `${number(lost)} frames` }];
}
