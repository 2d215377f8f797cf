import { availableParallelism } from 'node:os';
import type { Stage } from '../../crashtest/case.ts';
import { cpuBetween, readCpu, totalOf } from '../../test/kit/proc.ts';
import { busyShare, readTicks } from './busy.ts';
import { startCutRig } from './cut.ts';
import { merged } from './figures.ts';
import type { Cpu, Outcome, Round } from './figures.ts';
import { soak } from './soak.ts';
import type { Soak } from './soak.ts';
import { startWorkerRig } from './workers.ts';

export interface FailoverOptions {
  rounds: number;
  quick: boolean;
  /** Minutes; 0 is none. */
  soak: number;
}

export interface FailoverResult {
  rounds: Round[];
  soak?: Soak;
}

/** Milliseconds: longer than any stream takes, also on a busy machine. */
const PATIENCE_MS = 20_000;

/** Rejects if a process does not start or `signal` fires; a lost stream is a result. */
export async function runFailover(
  { rounds, quick, soak: minutes }: FailoverOptions,
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<FailoverResult> {
  const stage: Stage = { profile: 'full', signal, patienceMs: PATIENCE_MS };
  const size = quick ? 20 : 100;
  const say = (round: number, what: string): void =>
    onProgress(`failover, round ${round} of ${rounds}: ${what}`);
  const cuts = await inTurn(rounds, await startCutRig(stage), async (rig, round) => {
    say(round, 'the provider is cut');
    return rig.round(size, stage);
  });
  const ends = await inTurn(rounds, await startWorkerRig(), async (rig, round) => {
    say(round, 'a worker is killed');
    const killed = await rig.round('killed', size, stage);
    say(round, 'a worker hangs');
    return merged([killed, await rig.round('hung', size, stage)]);
  });
  const result = {
    rounds: cuts.map((cut, i): Round => {
      const end = ends[i] ?? cut;
      const cpu = { cut: cut.cpu, workers: end.cpu };
      return { round: i + 1, ...merged([cut.outcome, end.outcome]), cpu };
    }),
  };
  if (minutes === 0) return result;
  onProgress(`failover: soak of ${minutes} minutes`);
  return { ...result, soak: await soak(minutes, stage) };
}

/** Seconds of CPU: of all processes, and of this process and its children, including ended ones. */
async function readMachine() {
  return {
    ticks: readTicks(),
    ours: totalOf(cpuBetween({}, await readCpu(process.pid))),
    at: performance.now(),
  };
}

type Reading = Awaited<ReturnType<typeof readMachine>>;

function sharesOf(before: Reading, after: Reading): Cpu {
  const seconds = ((after.at - before.at) / 1_000) * availableParallelism();
  const ours = (after.ours - before.ours) / seconds;
  return { ours, others: Math.max(0, busyShare(before.ticks, after.ticks) - ours) };
}

async function inTurn<R extends { close(): Promise<void> }>(
  rounds: number,
  rig: R,
  run: (rig: R, round: number) => Promise<Outcome>,
): Promise<{ outcome: Outcome; cpu: Cpu }[]> {
  try {
    const done: { outcome: Outcome; cpu: Cpu }[] = [];
    for (let round = 1; round <= rounds; round++) {
      const before = await readMachine();
      const outcome = await run(rig, round);
      done.push({ outcome, cpu: sharesOf(before, await readMachine()) });
    }
    return done;
  } finally {
    await rig.close();
  }
}
