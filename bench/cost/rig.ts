import { fileURLToPath } from 'node:url';
import { aborted, spawnScript } from '../../test/kit/child.ts';
import { startFleet } from '../../test/kit/fleet.ts';
import type { Bill, ProviderSpec } from './provider.ts';

/** The dearer, the sooner and the more reliable; the cheapest by its list has no prompt cache. */
export const TARGETS: Record<'dear' | 'middle' | 'cheap', ProviderSpec> = {
  dear: {
    prices: { input: 10, cachedInput: 1, output: 30 },
    firstTokenMs: 20,
    errors: 0.01,
    cuts: 0.01,
    caches: true,
  },
  middle: {
    prices: { input: 3, cachedInput: 0.3, output: 12 },
    firstTokenMs: 40,
    errors: 0.02,
    cuts: 0.02,
    caches: true,
  },
  cheap: {
    prices: { input: 2, cachedInput: 2, output: 8 },
    firstTokenMs: 60,
    errors: 0.06,
    cuts: 0.04,
    caches: false,
  },
};
type Name = keyof typeof TARGETS;
const DEAR_FIRST: readonly Name[] = ['dear', 'middle', 'cheap'];

/** The models that are compared: a strategy, and the order of its targets in the config. */
export const MODELS: Record<string, { strategy: string; order: readonly Name[] }> = {
  'failover, dearest first': { strategy: 'failover', order: DEAR_FIRST },
  'failover, cheapest first': { strategy: 'failover', order: DEAR_FIRST.toReversed() },
  'round-robin': { strategy: 'round-robin', order: DEAR_FIRST },
  weighted: { strategy: 'weighted', order: DEAR_FIRST },
  'least-loaded': { strategy: 'least-loaded', order: DEAR_FIRST },
  latency: { strategy: 'latency', order: DEAR_FIRST },
  cheapest: { strategy: 'cheapest', order: DEAR_FIRST },
};

const START_MS = 10_000;

export interface CostRig {
  url: string;
  /** What the providers of a model have billed so far, by target. */
  bills(model: string): Promise<Record<Name, Bill>>;
  stop(): Promise<void>;
}

/** Two workers. Each model has providers of its own, so that no strategy finds the caches of another. */
export async function startCostRig(signal: AbortSignal): Promise<CostRig> {
  const models = Object.keys(MODELS);
  const specs = Object.fromEntries(
    models.flatMap((_model, at) => DEAR_FIRST.map((name) => [nameOf(at, name), TARGETS[name]])),
  );
  const names = Object.keys(specs);
  const child = spawnScript(fileURLToPath(new URL('server.ts', import.meta.url)));
  const stopTargets = async (): Promise<void> => {
    await child.stop('SIGKILL');
  };
  const limit = AbortSignal.any([signal, AbortSignal.timeout(START_MS)]);
  try {
    const ready = aborted(child.message<{ ports: number[] }>(), limit);
    child.send(specs);
    const { ports } = await ready;
    const fleet = await startFleet({
      workers: 2,
      health: true,
      models: Object.fromEntries(models.map((model, at) => [model, configOf(model, at)])),
      config: {
        providers: Object.fromEntries(
          names.map((name, at) => [
            name,
            { api: 'openai', baseUrl: `http://127.0.0.1:${ports[at]}/v1` },
          ]),
        ),
      },
    });
    return {
      url: fleet.url,
      async bills(model) {
        const asked = aborted(child.message<{ bills: Bill[] }>(), signal);
        child.send('bills');
        const { bills } = await asked;
        const at = models.indexOf(model);
        const billOf = (name: Name) => bills[names.indexOf(nameOf(at, name))] as Bill;
        return { dear: billOf('dear'), middle: billOf('middle'), cheap: billOf('cheap') };
      },
      async stop() {
        await fleet.close();
        await stopTargets();
      },
    };
  } catch (error) {
    await stopTargets();
    throw error;
  }
}

const nameOf = (model: number, target: Name): string => `${target}-${model}`;

function configOf(model: string, at: number): object {
  const { strategy = '', order = [] } = MODELS[model] ?? {};
  const targets = order.map((name) => {
    return { provider: nameOf(at, name), model: 'm', prefill: true, price: TARGETS[name].prices };
  });
  return { strategy, targets };
}
