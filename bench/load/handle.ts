import { fileURLToPath } from 'node:url';
import { aborted, spawnScript } from '../../test/kit/child.ts';
import type { GeneratorMessage, LoadResult, LoadSpec } from './spec.ts';

/** Milliseconds beyond its own bounds after which a run counts as hung. */
const GRACE_MS = 30_000;

export interface Generator {
  pid: number;
  /** Rejects when the generator fails, hangs or `signal` fires; a fault of a system is a result. */
  run(spec: LoadSpec, signal: AbortSignal): Promise<LoadResult>;
  stop(): Promise<void>;
}

export async function startGenerator(signal: AbortSignal): Promise<Generator> {
  const child = spawnScript(fileURLToPath(new URL('generator.ts', import.meta.url)));

  const next = (limit: AbortSignal): Promise<GeneratorMessage> =>
    aborted(child.message<GeneratorMessage>(), limit);

  // It has no state that needs an orderly end.
  async function stop(): Promise<void> {
    await child.stop('SIGKILL');
  }

  try {
    await next(AbortSignal.any([signal, AbortSignal.timeout(GRACE_MS)]));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    pid: child.pid,
    async run(spec, signal) {
      const answer = next(AbortSignal.any([signal, AbortSignal.timeout(boundOf(spec) + GRACE_MS)]));
      child.send(spec);
      const message = await answer;
      if (message.type === 'result') return message.result;
      throw new Error(message.type === 'failed' ? message.message : 'the load generator restarted');
    },
    stop,
  };
}

function boundOf({ arrival }: LoadSpec): number {
  if (arrival.kind === 'open') return arrival.ms;
  return arrival.kind === 'closed' ? arrival.maxMs : arrival.rampMs;
}
