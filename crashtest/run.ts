import type { CrashCase, Outcome, ProviderCase, Stage } from './case.ts';
import type { Options } from './options.ts';
import { isProviderCase } from './options.ts';
import { reachTarget, startMillrace } from './rig.ts';
import type { Rig } from './rig.ts';
import type { Result } from './scorecard.ts';

/** Milliseconds that a case waits for an end: longer than its own limit, which decides the verdict. */
const patienceMs = { fast: 45_000, full: 100_000 };

/**
 * Runs the cases; returns their results in the cases' order. Those with providers share a proxy and run
 * concurrently; those that kill processes run after them, one at a time, so that no case measures the load of
 * another one. Only the long outage runs beside them.
 */
export async function runCases(options: Options, signal: AbortSignal): Promise<Result[]> {
  const stage: Stage = {
    profile: options.profile,
    signal,
    patienceMs: patienceMs[options.profile],
  };
  const outcomes = new Map<CrashCase, Outcome>();
  const shared = options.cases.filter(isProviderCase);
  const rig = shared.length > 0 ? await startRig(shared, options) : undefined;
  try {
    const inPlace = shared.map(async (one) => {
      const alias = options.aliases.get(one.id) ?? '';
      if (rig) outcomes.set(one, await settle(one, () => one.run(rig, alias, stage)));
      return one;
    });
    const short = inPlace.filter((_, i) => shared[i]?.id !== 'S15');
    await Promise.all(options.profile === 'full' ? short : inPlace);
    for (const one of options.cases) {
      if (one.kind !== 'process' || signal.aborted) continue;
      outcomes.set(one, await settle(one, () => one.run(stage)));
    }
    await Promise.all(inPlace);
  } finally {
    await rig?.close();
  }
  signal.throwIfAborted();
  return options.cases.flatMap((crashCase) => {
    const outcome = outcomes.get(crashCase);
    return outcome ? [{ crashCase, outcome }] : [];
  });
}

const startRig = (cases: readonly ProviderCase[], { target, profile }: Options): Promise<Rig> =>
  target ? reachTarget(target) : startMillrace(cases, profile);

/** A case that could not be completed has failed; the others continue. */
async function settle({ id }: CrashCase, run: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await run();
  } catch (error) {
    const reason = `${id} could not be run: ${error instanceof Error ? error.message : String(error)}`;
    const attempts = { primary: 0, backup: 0 };
    return { verdict: 'fail', reason, attempts, totalMs: 0, longestGapMs: 0 };
  }
}
