import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { fork } from 'node:child_process';
import type { GeneratorMessage, LoadResult, LoadSpec } from './spec.ts';

/** What a run may take beyond its own bounds before it counts as hung. */
const GRACE_MS = 30_000;

export interface Generator {
  pid: number;
  /** Rejects when the generator fails, hangs or `signal` fires; a fault of a system is a result. */
  run(spec: LoadSpec, signal: AbortSignal): Promise<LoadResult>;
  stop(): Promise<void>;
}

export async function startGenerator(signal: AbortSignal): Promise<Generator> {
  const child = fork(fileURLToPath(new URL('generator.ts', import.meta.url)));
  const gone = once(child, 'exit');

  async function next(limit: AbortSignal): Promise<GeneratorMessage> {
    const dead = gone.then(() => Promise.reject(new Error('the load generator died')));
    const [message] = await Promise.race([once(child, 'message', { signal: limit }), dead]);
    return message as GeneratorMessage;
  }

  // It holds nothing that would need an orderly end.
  async function stop(): Promise<void> {
    child.kill('SIGKILL');
    await gone;
  }

  try {
    await next(AbortSignal.any([signal, AbortSignal.timeout(GRACE_MS)]));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    pid: child.pid ?? 0,
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
