import type { LaneReport } from '../lane.ts';
import type { Options } from '../options.ts';
import { startRig } from '../rig.ts';
import { figuresOf } from './figures.ts';
import { goalsOf } from './goals.ts';
import { measureAll } from './measure.ts';
import { planOf } from './plan.ts';
import { reportOf } from './report.ts';

/** Every system under the same loads, in turn. */
export async function compare(
  options: Options,
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<LaneReport> {
  const points = planOf(options);
  const rig = await startRig(options.systems, signal);
  try {
    const measurements = await measureAll(rig, points, options.rounds, signal, onProgress);
    const systems = rig.systems.map(({ name, versions }) => ({ name, versions }));
    return {
      heading:
        `Medians over ${options.rounds} round(s) (min–max), milliseconds; CPU in per cent of one core.\n` +
        "`direct` is the rig's own limit.",
      parts: reportOf(measurements, points, options.systems),
      goals: goalsOf(measurements),
      isWrong: measurements.some(({ result }) => result.errors > 0 || result.framesLost > 0),
      record: {
        systems,
        points: points.map((point) => ({
          ...point,
          figures: Object.fromEntries(
            systems.map(({ name }) => [name, figuresOf(measurements, point.label, name)]),
          ),
        })),
        measurements,
      },
    };
  } finally {
    onProgress('stopping');
    await rig.stop();
  }
}
