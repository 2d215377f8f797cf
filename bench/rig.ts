import { fileURLToPath } from 'node:url';
import { startChild } from '../test/kit/child.ts';
import { tokensOf } from './load/frames.ts';
import { type Generator, startGenerator } from './load/handle.ts';
import { startSystem } from './systems/index.ts';
import {
  type Answer,
  type StartOptions,
  type System,
  type SystemName,
  TOKENS,
} from './systems/system.ts';

const UPSTREAM = fileURLToPath(new URL('../apps/simulator/src/main.ts', import.meta.url));

/** Everything that a run needs, all on 127.0.0.1 and in separate processes. */
export interface Rig {
  upstream: { origin: string; pid: number };
  generator: Generator;
  systems: System[];
  /** The tokens of the upstream's answers, which every system has to deliver. */
  tokens: Record<Answer, string[]>;
  stop(): Promise<unknown>;
}

/** Rejects if one of them does not start, after ending the others. */
export async function startRig(
  names: SystemName[],
  signal: AbortSignal,
  options: StartOptions = {},
): Promise<Rig> {
  const stops: (() => Promise<unknown>)[] = [];
  // From front to back, so that no system loses its upstream or Redis while it still drains.
  const stop = async (): Promise<void> => {
    for (const stopOne of stops.splice(0).reverse()) await stopOne();
  };
  try {
    const upstream = await startUpstream(signal);
    stops.push(upstream.stop);
    const systems: System[] = [];
    for (const name of names) {
      const system = await startSystem(name, upstream.origin, signal, options);
      stops.push(() => system.stop());
      systems.push(system);
    }
    const generator = await startGenerator(signal);
    stops.push(() => generator.stop());
    const tokens = {
      burst: await referenceTokens(upstream.origin, 'burst', signal),
      paced: await referenceTokens(upstream.origin, 'paced', signal),
      middling: await referenceTokens(upstream.origin, 'middling', signal),
      long: await referenceTokens(upstream.origin, 'long', signal),
    };
    return { upstream, generator, systems, tokens, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export async function startUpstream(
  signal: AbortSignal,
): Promise<{ origin: string; pid: number; stop: () => Promise<unknown> }> {
  const { ready, pid, stop } = await startChild({
    name: 'the simulated provider',
    command: process.execPath,
    args: [UPSTREAM, '--port', '0', '--name', 'bench'],
    ipc: true,
    ready: /^simulated provider \S+ on (http:\S+)/,
    signal,
  });
  return { origin: new URL(ready[1] ?? '').origin, pid, stop };
}

/** The text depends only on the number of tokens, so the reference need not be paced. */
async function referenceTokens(
  origin: string,
  answer: Answer,
  signal: AbortSignal,
): Promise<string[]> {
  const response = await fetch(`${origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer bench' },
    body: JSON.stringify({
      model: `healthy:tokens=${TOKENS[answer]},pace=0`,
      stream: true,
      messages: [{ role: 'user', content: 'Count, please.' }],
    }),
    signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]),
  });
  const body = await response.text();
  if (!response.ok) throw new Error(`the upstream answers ${response.status}: ${body}`);
  return tokensOf(body);
}
