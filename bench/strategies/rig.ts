import { fileURLToPath } from 'node:url';
import { aborted, spawnScript } from '../../test/kit/child.ts';
import { startFleet } from '../../test/kit/fleet.ts';
import type { TargetSpec } from './server.ts';

export const FIRST_TOKENS_MS = { fast: 50, middle: 100, slow: 400 } as const;
/** Concurrent requests of each of the equal targets. */
export const SLOTS = 8;
const EQUAL = ['equal-1', 'equal-2', 'equal-3'];

const START_MS = 10_000;

export interface StrategiesRig {
  url: string;
  stop(): Promise<void>;
}

/** Two workers, with the targets in one separate process. */
export async function startStrategiesRig(signal: AbortSignal): Promise<StrategiesRig> {
  const specs: Record<string, TargetSpec> = {
    ...Object.fromEntries(
      Object.entries(FIRST_TOKENS_MS).map(([name, serviceMs]) => [name, { slots: 1e6, serviceMs }]),
    ),
    ...Object.fromEntries(EQUAL.map((name) => [name, { slots: SLOTS }])),
    // All slots behind a single queue: no strategy can be better.
    ideal: { slots: SLOTS * EQUAL.length },
  };
  const child = spawnScript(fileURLToPath(new URL('server.ts', import.meta.url)));
  const stopTargets = async (): Promise<void> => {
    await child.stop('SIGKILL');
  };
  try {
    const ready = aborted(
      child.message<{ ports: number[] }>(),
      AbortSignal.any([signal, AbortSignal.timeout(START_MS)]),
    );
    child.send(Object.values(specs));
    const { ports } = await ready;
    const at = (port: number | undefined) => `http://127.0.0.1:${port}/v1`;
    const providers = Object.fromEntries(
      Object.keys(specs).map((name, i) => [name, { api: 'openai', baseUrl: at(ports[i]) }]),
    );
    const fleet = await startFleet({
      workers: 2,
      health: true,
      models: {
        latency: modelOf(Object.keys(FIRST_TOKENS_MS), 'latency'),
        'least-loaded': modelOf(EQUAL, 'least-loaded'),
        ideal: modelOf(['ideal'], 'failover'),
      },
      config: { providers },
    });
    const stop = async (): Promise<void> => {
      await fleet.close();
      await stopTargets();
    };
    return { url: fleet.url, stop };
  } catch (error) {
    await stopTargets();
    throw error;
  }
}

const modelOf = (names: readonly string[], strategy: string) => ({
  targets: names.map((provider) => ({ provider, model: 'm' })),
  strategy,
});
