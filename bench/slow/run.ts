import { setTimeout as sleep } from 'node:timers/promises';
import { Samples } from '../load/samples.ts';
import type { Summary } from '../load/samples.ts';
import { residentOf } from '../../test/kit/proc.ts';
import { startUpstream } from '../rig.ts';
import { startMillraceWith } from '../systems/millrace.ts';
import type { System } from '../systems/system.ts';
import { chat, createJob, openReader } from './reader.ts';
import type { Reader } from './reader.ts';

export interface SlowResult {
  stopped: number;
  steady: number;
  /** Gaps of the steady readers in milliseconds, by round, without and with the stopped ones. */
  rounds: { without: Summary; with: Summary }[];
  /** Bytes of the ingress in each case, and when the stopped readers resume. */
  memory: { without: number; with: number; resumed: number };
  /** Stopped readers that read everything after they resumed. */
  resumedWhole: number;
  wrong: string[];
}

/** The stopped readers read a few large streams, which continue while the gaps are measured. */
const JOBS = 4;
const PACE_MS = 50;
/** Longer than a round, so that no reader is disconnected meanwhile. */
const STALL = '30m';
const METRIC_POLL_MS = 250;

const configFor = (upstream: string, big: string, tokens: number): string =>
  `listen: { host: 127.0.0.1 }
providers:
  bench: { api: openai, baseUrl: "${upstream}/v1", apiKey: bench }
models:
  big: { targets: [{ provider: bench, model: "${big}" }] }
  steady: { targets: [{ provider: bench, model: "healthy:tokens=${tokens},pace=${PACE_MS}" }] }
limits: { readerStall: ${STALL}, workerConcurrency: 1024 }
`;

/** Rejects when a process does not start. */
export async function runSlow(
  { quick, rounds }: { quick: boolean; rounds: number },
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<SlowResult> {
  const [stopped, steady, seconds] = quick ? [20, 20, 3] : [200, 200, 10];
  // 16 KiB in 40 ms: it lasts until the gaps are measured.
  const megabytes = quick ? 8 : 12;
  const big = `big:bytes=${megabytes * 1024 * 1024},piece=16384,pace=${quick ? 20 : 40}`;
  const tokens = (seconds * 1000) / PACE_MS;
  const upstream = await startUpstream(signal);
  try {
    const system = await startMillraceWith(configFor(upstream.origin, big, tokens), signal);
    try {
      const result = emptyResult(stopped, steady);
      for (let round = 1; round <= rounds; round += 1) {
        const say = (what: string) => onProgress(`slow, round ${round} of ${rounds}: ${what}`);
        // The first place alternates, because the first one pays for other work of the machine.
        const summaries: Partial<Record<'without' | 'with', Summary>> = {};
        for (const kind of round % 2
          ? (['without', 'with'] as const)
          : (['with', 'without'] as const)) {
          say(`${kind} stopped readers`);
          signal.throwIfAborted();
          summaries[kind] = await measure(system, kind === 'with' ? stopped : 0, result, signal);
        }
        result.rounds.push(summaries as Record<'without' | 'with', Summary>);
      }
      return result;
    } finally {
      await system.stop();
    }
  } finally {
    await upstream.stop();
  }
}

function emptyResult(stopped: number, steady: number): SlowResult {
  const memory = { without: 0, with: 0, resumed: 0 };
  return { stopped, steady, rounds: [], memory, resumedWhole: 0, wrong: [] };
}

/** The large streams with `stopped` readers that stop at once, and the steady readers beside them. */
async function measure(
  { origin, pid = 0 }: System,
  stopped: number,
  result: SlowResult,
  signal: AbortSignal,
): Promise<Summary> {
  const ids = await Promise.all(Array.from({ length: JOBS }, () => createJob(origin, 'big')));
  const urlOf = (i: number) => `${origin}/v1/jobs/${ids[i % JOBS]}/events`;
  const readers: Reader[] = [];
  for (let i = 0; i < stopped; i += 1) {
    const reader = await openReader({ url: urlOf(i) });
    reader.pause();
    readers.push(reader);
  }
  await heldBytes(origin, stopped * 128 * 1024, signal);

  const gaps = new Samples();
  const onGap = (ms: number): void => gaps.add(ms);
  const going = await Promise.all(
    Array.from({ length: result.steady }, () =>
      openReader({ url: `${origin}/v1/chat/completions`, body: chat('steady'), onGap }),
    ),
  );
  const answers = await Promise.all(going.map(({ ended }) => ended));
  const digests = new Set(answers.map(({ events }) => events));
  if (answers.some(({ complete }) => !complete) || digests.size > 1) {
    result.wrong.push('a steady reader did not get the whole answer');
  }
  const kind = stopped > 0 ? 'with' : 'without';
  result.memory[kind] = Math.max(result.memory[kind], await residentOf(pid, 'ingress'));

  const whole = await Promise.all(
    ids.map(async (_, i) => (await openReader({ url: urlOf(i) })).ended),
  );
  for (const reader of readers) reader.resume();
  const resumed = await Promise.all(readers.map(({ ended }) => ended));
  const good = resumed.filter(
    ({ complete, digest }, i) => complete && digest === whole[i % JOBS]?.digest,
  ).length;
  if (stopped > 0) {
    result.resumedWhole = good;
    result.memory.resumed = Math.max(result.memory.resumed, await residentOf(pid, 'ingress'));
    if (good < stopped) result.wrong.push(`${stopped - good} did not get the rest`);
  }
  return gaps.summary();
}

/** Resolves once `bytes` bytes wait for readers: by then the system's own buffers are full. */
async function heldBytes(origin: string, bytes: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    const page = await (await fetch(`${origin}/metrics`, { signal })).text();
    const line = /^millrace_bound_bytes\{what="reader_buffers".*\} (\d+)$/m.exec(page);
    if (Number(line?.[1] ?? 0) >= bytes) return;
    await sleep(METRIC_POLL_MS, undefined, { signal });
  }
}
