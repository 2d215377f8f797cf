import { setTimeout as sleep } from 'node:timers/promises';
import { exactTime } from '../../apps/simulator/src/clock.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import type { ProcessCase, Stage, Verdict } from '../case.ts';
import { send } from '../../test/kit/exchange.ts';
import { worst } from '../crowd.ts';
import { withFleet } from '../fleet.ts';
import type { Fleet, RoleProcess } from '../fleet.ts';
import { longestGap, readAnswer } from '../../test/kit/reading.ts';
import { startReader } from '../reader.ts';
import { attemptsOf, completionsOf, question } from '../rig.ts';
import { markerOf, rescued } from '../scenario.ts';

/** Clients that request one short answer after the other. */
const clients = { fast: 8, full: 20 };
const short = { tokens: 30, pace: 20 };
/** Answers that outlast the drain of their processes: these have to be handed over. */
const longReaders = 6;
const long = { tokens: 220, pace: 40 };
const drainMs = 1500;
/** Milliseconds until a load balancer sends nothing more to a leaving process. */
const rotationMs = 100;

type One = { verdict: Verdict; reason: string; longestGapMs: number };

/** M04: every process is replaced, one after the other, while requests come in. */
export const rollingRestart: ProcessCase = {
  kind: 'process',
  id: 'M04',
  title: 'rolling restart of every worker and ingress under load',
  run: (stage) =>
    withFleet(
      {
        models: { short: modelOf(short), long: modelOf(long) },
        config: { drainTimeout: `${drainMs}ms` },
      },
      (fleet) => underLoad(fleet, stage),
    ),
};

/** Both targets can continue an answer, so the hand-over is measured, not a replay. */
function modelOf({ tokens, pace }: typeof short) {
  const model = `prefill:tokens=${tokens},pace=${pace}`;
  return {
    targets: [
      { provider: 'primary', model, prefill: true },
      { provider: 'backup', model, prefill: true },
    ],
  };
}

async function underLoad(fleet: Fleet, stage: Stage) {
  const marker = markerOf('M04');
  const startedAt = exactTime();
  const rotation = [...fleet.ingresses];
  const done = new AbortController();
  const loads = Array.from({ length: clients[stage.profile] }, (_, i) =>
    askOnAndOn(rotation, `${marker}-short-${i}.`, done.signal, stage),
  );
  const readers = await Promise.all(
    Array.from({ length: longReaders }, (_, i) =>
      startReader({
        kind: i % 2 === 0 ? 'job' : 'plain',
        alias: 'long',
        marker: `${marker}-long-${i}.`,
        text: expectedText(long),
        urls: (attempt) => rotation[(i + attempt) % rotation.length]?.url ?? '',
        stage,
      }),
    ),
  );
  await Promise.all(readers.map((reader) => reader.count(5)));
  const complaints = await replaceAll(fleet, rotation).finally(() => done.abort());
  const shorts = (await Promise.all(loads)).flat();
  const longs = await Promise.all(readers.map(({ told }) => told));
  return {
    ...worst([...shorts, ...longs], complaints),
    attempts: attemptsOf(fleet, marker),
    totalMs: exactTime() - startedAt,
    longestGapMs: Math.max(...[...shorts, ...longs].map(({ longestGapMs }) => longestGapMs)),
    figures: {
      requests: shorts.length + longs.length,
      resumed: longs.reduce((sum, { resumed }) => sum + resumed, 0),
    },
  };
}

/**
 * Sends SIGTERM to every worker and every ingress, one after the other, each after its successor has begun to
 * serve. `rotation`: the ingresses that clients use. Returns what was wrong with their exit codes.
 */
export async function replaceAll(fleet: Fleet, rotation: RoleProcess[]): Promise<string[]> {
  const codes: (number | null)[] = [];
  // The fleet's own lists grow on the way.
  const workers = fleet.workers.slice();
  const ingresses = fleet.ingresses.slice();
  for (const worker of workers) {
    await fleet.addWorker();
    codes.push(await worker.stop('SIGTERM'));
  }
  for (const ingress of ingresses) {
    const fresh = await fleet.addIngress();
    rotation.splice(rotation.indexOf(ingress), 1, fresh);
    await sleep(rotationMs);
    codes.push(await ingress.stop('SIGTERM'));
  }
  const wrong = codes.filter((code) => code !== 0);
  return wrong.length === 0 ? [] : [`exit codes ${codes.join(', ')}`];
}

/** One answer after the other, each at the next ingress in the rotation. */
async function askOnAndOn(
  rotation: readonly RoleProcess[],
  marker: string,
  done: AbortSignal,
  { patienceMs, signal }: Stage,
): Promise<One[]> {
  const told: One[] = [];
  const text = expectedText(short);
  for (let i = 0; !done.aborted && !signal.aborted; i++) {
    const url = completionsOf(rotation[i % rotation.length]?.url ?? '');
    const body = question('short', marker, { stream: i % 3 !== 2 });
    const ended = await send(url, { body, patienceMs, signal }).ended;
    const reading = readAnswer(ended);
    told.push({ ...rescued(reading, text), longestGapMs: longestGap(reading.textAt) });
    // A server that refuses at once must not be called in a tight loop.
    if (ended.how !== 'complete') await sleep(100);
  }
  return told;
}
