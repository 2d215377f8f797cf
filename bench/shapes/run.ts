import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Samples } from '../load/samples.ts';
import { startUpstream } from '../rig.ts';
import { chat, openReader } from '../slow/reader.ts';
import { startMillraceWith } from '../systems/millrace.ts';
import { bodyOf, SHAPES } from './bodies.ts';
import type { Shape } from './bodies.ts';
import type { Late } from './probe.ts';

/** The effect of one body on the processes, and on other streams. */
export interface ShapeRound {
  shape: Shape | 'none';
  /** Status of the answer. */
  status: number;
  /** Turns of the event loops. */
  ingress: Turn;
  worker: Turn;
  /** The longest gap of the other streams, in milliseconds. */
  gapMs: number;
  /** Streams of the `STREAMS` that ended completely. */
  whole: number;
}

/** Milliseconds: the largest delay of a loop, and the longest turn in CPU time. */
export type Turn = { lateMs: number; busyMs: number };

export const STREAMS = 10;
const BYTES = 12 * 1024 * 1024;
const PACE_MS = 20;

const configFor = (upstream: string, tokens: number): string =>
  `listen: { host: 127.0.0.1 }
providers:
  bench: { api: openai, baseUrl: "${upstream}/v1", apiKey: bench }
models:
  large: { targets: [{ provider: bench, model: "healthy:tokens=5" }] }
  steady: { targets: [{ provider: bench, model: "healthy:tokens=${tokens},pace=${PACE_MS}" }] }
`;

/** Rejects when a process does not start. */
export async function runShapes(
  { quick, rounds }: { quick: boolean; rounds: number },
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<ShapeRound[]> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-shapes-'));
  const probe = join(folder, 'late.jsonl');
  const tokens = (quick ? 1500 : 3000) / PACE_MS;
  const before = { options: process.env['NODE_OPTIONS'], probe: process.env['SHAPES_PROBE'] };
  process.env['NODE_OPTIONS'] =
    `${before.options ?? ''} --import ${new URL('probe.ts', import.meta.url).href}`;
  process.env['SHAPES_PROBE'] = probe;
  const upstream = await startUpstream(signal);
  try {
    const system = await startMillraceWith(configFor(upstream.origin, tokens), signal);
    restore(before);
    try {
      const results: ShapeRound[] = [];
      for (let round = 1; round <= rounds; round += 1) {
        for (const shape of ['none', ...SHAPES] as const) {
          onProgress(`shapes, round ${round} of ${rounds}: ${shape}`);
          signal.throwIfAborted();
          results.push(await measure(system.origin, shape, tokens, probe));
        }
      }
      return results;
    } finally {
      await system.stop();
    }
  } finally {
    restore(before);
    await upstream.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

function restore({ options, probe }: { options: string | undefined; probe: string | undefined }) {
  delete process.env['NODE_OPTIONS'];
  delete process.env['SHAPES_PROBE'];
  if (options !== undefined) process.env['NODE_OPTIONS'] = options;
  if (probe !== undefined) process.env['SHAPES_PROBE'] = probe;
}

async function measure(
  origin: string,
  shape: Shape | 'none',
  tokens: number,
  probe: string,
): Promise<ShapeRound> {
  const gaps = new Samples();
  const body = shape === 'none' ? '' : bodyOf(shape, 'large', BYTES);
  const streams = await Promise.all(
    Array.from({ length: STREAMS }, () =>
      openReader({
        url: `${origin}/v1/chat/completions`,
        body: chat('steady'),
        onGap: (ms) => gaps.add(ms),
      }),
    ),
  );
  // The preparation is not measured.
  await sleep(200);
  const since = Date.now();
  const status = shape === 'none' ? 0 : await send(origin, body);
  await sleep(300);
  const answers = await Promise.all(streams.map(({ ended }) => ended));
  const late = await readLate(probe, since);
  const worst = (role: string): Turn => {
    const its = late.filter((one) => one.role === role);
    const most = (of: 'lateMs' | 'busyMs') => Math.max(0, ...its.map((one) => one[of]));
    return { lateMs: most('lateMs'), busyMs: most('busyMs') };
  };
  return {
    shape,
    status,
    ingress: worst('ingress'),
    worker: worst('worker'),
    gapMs: gaps.summary().max,
    whole: answers.filter(({ complete, events }) => complete && events >= tokens).length,
  };
}

/** As a streaming request, to its end. */
async function send(origin: string, body: string): Promise<number> {
  const response = await fetch(`${origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  const text = await response.text();
  if (response.status >= 500) process.stderr.write(`${text.slice(0, 300)}\n`);
  return response.status;
}

async function readLate(file: string, since: number): Promise<Late[]> {
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as Late).filter(({ at }) => at >= since);
}
