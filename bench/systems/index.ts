import { fileURLToPath } from 'node:url';
import { startChild } from '../../test/kit/child.ts';
import { startMillrace, startTraced, startWithoutLedger } from './millrace.ts';
import { startNginx } from './nginx.ts';
import { startPortkey } from './portkey.ts';
import { MODELS, type StartOptions, type System, type SystemName } from './system.ts';

/** Starts a system in front of the upstream at `origin`. Rejects if it does not become ready. */
export async function startSystem(
  name: SystemName,
  origin: string,
  signal: AbortSignal,
  options: StartOptions = {},
): Promise<System> {
  switch (name) {
    case 'direct':
      return { name, origin, headers: {}, models: MODELS, stop: async () => {} };
    case 'nginx':
      return startNginx(origin, signal);
    case 'bare':
      return startBare(origin, signal);
    case 'millrace':
      return startMillrace(origin, signal, options);
    case 'unledgered':
      return startWithoutLedger(origin, signal, options);
    case 'traced':
      return startTraced(origin, signal, { ...options, name, sample: 1 });
    case 'sampled':
      return startTraced(origin, signal, { ...options, name, sample: 0.1 });
    case 'portkey':
      return startPortkey(origin, signal);
  }
}

async function startBare(upstream: string, signal: AbortSignal): Promise<System> {
  const { pid, ready, stop } = await startChild({
    name: 'bare',
    command: process.execPath,
    args: [fileURLToPath(new URL('bare.ts', import.meta.url)), upstream],
    ready: /^bare ready (http:\S+)/,
    ipc: true,
    signal,
  });
  return { name: 'bare', origin: ready[1] ?? '', pid, headers: {}, models: MODELS, stop };
}
