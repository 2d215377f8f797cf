import { Samples } from '../load/samples.ts';
import type { Summary } from '../load/samples.ts';
import { converse } from './load.ts';
import type { Bill } from './provider.ts';
import { MODELS, startCostRig } from './rig.ts';

export interface CostOfModel {
  model: string;
  requests: number;
  failed: number;
  wrong: number;
  /** In USD, as billed by the providers, over all requests. */
  cost: number;
  /** Requests that each target was sent, with failed ones. */
  calls: Record<'dear' | 'middle' | 'cheap', number>;
  /** Tokens of input, and those that were cached. */
  input: number;
  cached: number;
  /** Milliseconds to the first token. */
  firstToken: Summary;
}

const CONCURRENCY = 6;

export async function runCost(
  { rounds, quick }: { rounds: number; quick: boolean },
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<CostOfModel[][]> {
  const rig = await startCostRig(signal);
  const [conversations, turns] = quick ? [6, 3] : [12, 6];
  try {
    const done: CostOfModel[][] = [];
    for (let round = 1; round <= rounds; round++) {
      const models: CostOfModel[] = [];
      for (const model of Object.keys(MODELS)) {
        onProgress(`cost, round ${round} of ${rounds}: ${model}`);
        const before = await rig.bills(model);
        const load = { url: rig.url, model, conversations, turns, concurrency: CONCURRENCY };
        const asked = await converse({ ...load, seed: round }, signal);
        const after = await rig.bills(model);
        const firstToken = new Samples();
        for (const { firstTokenMs } of asked) {
          if (firstTokenMs !== undefined) firstToken.add(firstTokenMs);
        }
        models.push({
          model,
          requests: asked.length,
          failed: asked.filter(({ outcome }) => outcome === 'failed').length,
          wrong: asked.filter(({ outcome }) => outcome === 'wrong').length,
          ...spent(before, after),
          firstToken: firstToken.summary(),
        });
      }
      done.push(models);
    }
    return done;
  } finally {
    await rig.stop();
  }
}

type Bills = Record<'dear' | 'middle' | 'cheap', Bill>;

function spent(
  before: Bills,
  after: Bills,
): Pick<CostOfModel, 'cost' | 'calls' | 'input' | 'cached'> {
  const all = (['dear', 'middle', 'cheap'] as const).map((name) => ({
    before: before[name],
    after: after[name],
  }));
  const sum = (field: 'cost' | 'input' | 'cached'): number =>
    all.reduce((total, one) => total + one.after[field] - one.before[field], 0);
  const calls = (name: keyof Bills) => after[name].requests - before[name].requests;
  return {
    cost: sum('cost'),
    input: sum('input'),
    cached: sum('cached'),
    calls: { dear: calls('dear'), middle: calls('middle'), cheap: calls('cheap') },
  };
}
