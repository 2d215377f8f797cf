import { setTimeout as sleep } from 'node:timers/promises';
import { startFleet } from '../../test/kit/fleet.ts';
import { Samples } from '../load/samples.ts';
import type { Summary } from '../load/samples.ts';
import { ask, closedLoop, hangUp, openLoop } from './client.ts';
import type { Asked } from './client.ts';

/** One open loop above the fleet's capacity. */
export interface Burden {
  /** Times the capacity. */
  factor: number;
  sent: number;
  served: number;
  refused: number;
  /** Neither served completely nor refused with a time to retry. */
  wrong: number;
  /** Answers a second, from when the queue is full to the end of the sending. */
  goodput: number;
  /** Milliseconds to the first token of served requests, and to the refusal. */
  firstToken: Summary;
  refusal: Summary;
}

export interface OverloadRound {
  round: number;
  /** Answers a second while some requests always wait. */
  capacity: number;
  burdens: Burden[];
  /** Milliseconds to the first token of a client with one request a second: alone, and beside the flood. */
  alone: Summary;
  flooded: Summary;
  flood: number;
}

const FACTORS = [1.5, 3];
/** Concurrent runs of the only worker, and the answer of each: small, so that the wait is the queue's. */
const PLACES = 20;
const TOKENS = 10;
const PACE_MS = 20;
/** Bound on the expected wait. */
const WAIT = '1s';
/** Milliseconds of each loop that are not counted, because the rate is not measured yet. */
const SETTLE_MS = 2_000;
const FLOOD = 1_000;

const models = { short: `healthy:tokens=${TOKENS},pace=${PACE_MS},first=${PACE_MS}` };

export async function runOverload(
  { rounds, quick }: { rounds: number; quick: boolean },
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<OverloadRound[]> {
  const done: OverloadRound[] = [];
  for (let round = 1; round <= rounds; round++) {
    signal.throwIfAborted();
    const say = (what: string): void => onProgress(`overload, round ${round}: ${what}`);
    const bounds = await measureBounds(quick ? 4_000 : 10_000, signal, say);
    const fairness = await measureFairness(quick ? 4 : 10, signal, say);
    done.push({ round, ...bounds, ...fairness });
  }
  hangUp();
  return done;
}

async function measureBounds(ms: number, signal: AbortSignal, say: (what: string) => void) {
  const limits = { workerConcurrency: PLACES, queueWait: WAIT };
  await using fleet = await startFleet({ models, config: { limits } });
  const target = { url: fleet.url, model: 'short', tokens: TOKENS };
  say('capacity');
  await closedLoop(target, PLACES, 1_000);
  const startedAt = performance.now();
  const answers = await closedLoop(target, PLACES * 2, ms / 2);
  const served = answers.filter(({ status }) => status === 200);
  const capacity = (served.length * 1_000) / (performance.now() - startedAt);
  const burdens: Burden[] = [];
  for (const factor of FACTORS) {
    signal.throwIfAborted();
    say(`${factor} times the capacity`);
    const from = performance.now();
    const asked = await openLoop(target, capacity * factor, ms + SETTLE_MS);
    burdens.push(burdenOf(factor, asked, from + SETTLE_MS, from + SETTLE_MS + ms));
    // The rest is served before the next one.
    await sleep(500);
  }
  return { capacity, burdens };
}

function burdenOf(factor: number, asked: Asked[], from: number, to: number): Burden {
  const served = asked.filter(({ status, right }) => status === 200 && right);
  const refused = asked.filter(({ status, right }) => (status === 503 || status === 429) && right);
  const inTime = served.filter(({ endedAt }) => endedAt >= from && endedAt < to);
  return {
    factor,
    sent: asked.length,
    served: served.length,
    refused: refused.length,
    wrong: asked.length - served.length - refused.length,
    goodput: (inTime.length * 1_000) / (to - from),
    firstToken: summaryOf(served.map(({ headMs }) => headMs)),
    refusal: summaryOf(refused.map(({ totalMs }) => totalMs)),
  };
}

/** One key floods the queue, and another one sends one request a second. */
async function measureFairness(samples: number, signal: AbortSignal, say: (what: string) => void) {
  const keys = ['flood', 'other'].map((id) => ({ id, secret: id }));
  const config = { keys, limits: { workerConcurrency: PLACES } };
  await using fleet = await startFleet({ models, config });
  const target = { url: fleet.url, model: 'short', tokens: TOKENS, key: 'other' };
  const onceASecond = async (): Promise<number[]> => {
    const times: number[] = [];
    for (let i = 0; i < samples; i++) {
      signal.throwIfAborted();
      const { headMs, right, status } = await ask(target);
      if (status !== 200 || !right) throw new Error(`the other key was answered ${status}`);
      times.push(headMs);
      await sleep(Math.max(0, 1_000 - headMs));
    }
    return times;
  };
  say('one key alone');
  await closedLoop(target, PLACES, 500);
  const alone = await onceASecond();
  say(`beside ${FLOOD} requests of another`);
  await Promise.all(Array.from({ length: FLOOD }, () => queueJob(fleet.url)));
  // Replaces each served request by a new one.
  const stop = new AbortController();
  const refill = (async () => {
    while (!stop.signal.aborted) {
      await sleep(100);
      const waiting = await countWaiting(fleet.url);
      const missing = Math.max(0, FLOOD - waiting);
      await Promise.all(Array.from({ length: missing }, () => queueJob(fleet.url)));
    }
  })();
  const flooded = await onceASecond().finally(() => stop.abort());
  await refill;
  return { alone: summaryOf(alone), flooded: summaryOf(flooded), flood: FLOOD };
}

async function queueJob(url: string): Promise<void> {
  const response = await fetch(`${url}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer flood' },
    body: JSON.stringify({ body: { model: 'short', messages: [{ role: 'user', content: 'x' }] } }),
  });
  await response.arrayBuffer();
  if (response.status !== 202) throw new Error(`the flood was answered ${response.status}`);
}

async function countWaiting(url: string): Promise<number> {
  const page = await (await fetch(`${url}/metrics`)).text();
  return Number(/^millrace_queue_waiting\{class="normal"\} (\d+)$/m.exec(page)?.[1] ?? 0);
}

function summaryOf(values: readonly number[]): Summary {
  const samples = new Samples();
  for (const value of values) samples.add(value);
  return samples.summary();
}

/** Milliseconds for which one request occupies a slot. */
export const SERVICE_MS = TOKENS * PACE_MS;
