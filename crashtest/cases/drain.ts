import { exactTime } from '../../apps/simulator/src/clock.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import type { ByProfile, Outcome, ProcessCase, Stage, Verdict } from '../case.ts';
import { send } from '../../test/kit/exchange.ts';
import { quantile, worst } from '../crowd.ts';
import { withFleet } from '../fleet.ts';
import type { Fleet } from '../fleet.ts';
import { difference, textOf } from '../../test/kit/reading.ts';
import { startReader, wrongFarewell } from '../reader.ts';
import { attemptsOf, completionsOf, question } from '../rig.ts';
import { markerOf } from '../scenario.ts';
import { replaceAll } from './rolling.ts';

type Size = {
  streams: number;
  /** Tokens of each answer. */
  tokens: number;
  /** Milliseconds between two tokens. */
  pace: number;
  drainTimeout: string;
};

/** Answers that outlast the drain of every process. Full: 60 s each. */
const sizes: ByProfile<Size> = {
  fast: { streams: 20, tokens: 300, pace: 40, drainTimeout: '300ms' },
  full: { streams: 200, tokens: 600, pace: 100, drainTimeout: '5s' },
};
const kinds = ['owned', 'job', 'socket', 'late'] as const;

type One = { verdict: Verdict; reason: string; resumed: number; longestGapMs: number };

/** M11: every process gets SIGTERM while streams run that are longer than its drain. */
export const longStreamsRestart: ProcessCase = {
  kind: 'process',
  id: 'M11',
  title: 'rolling restart of the fleet under streams longer than its drain',
  run: (stage) => {
    const { tokens, pace, drainTimeout } = sizes[stage.profile];
    const model = `prefill:tokens=${tokens},pace=${pace}`;
    const targets = ['primary', 'backup'].map((provider) => ({ provider, model, prefill: true }));
    // A request that was not handed over ends soon after its ingress.
    const config = { drainTimeout, drainDelay: '100ms', limits: { ownerGrace: '2s' } };
    return withFleet({ models: { m11: { targets } }, config }, (fleet) => restart(fleet, stage));
  },
};

async function restart(fleet: Fleet, stage: Stage): Promise<Outcome> {
  const { streams, tokens } = sizes[stage.profile];
  const marker = markerOf('M11');
  const text = expectedText({ tokens });
  const rotation = [...fleet.ingresses];
  const startedAt = exactTime();
  const open = await Promise.all(
    Array.from({ length: streams }, (_, i) => {
      const kind = kinds[i % kinds.length] ?? 'owned';
      const urlOf = (attempt: number) => rotation[(i + attempt) % rotation.length]?.url ?? '';
      const own = { alias: 'm11', marker: `${marker}-${i}.`, text, urls: urlOf, stage };
      return kind === 'late' ? Promise.resolve(startLate(own)) : startReader({ kind, ...own });
    }),
  );
  await Promise.all(open.map((reader) => reader.count(5)));
  const restartedAt = exactTime();
  const complaints = await replaceAll(fleet, rotation);
  const restartMs = exactTime() - restartedAt;
  const told: One[] = await Promise.all(open.map((reader) => reader.told));
  const moved = told.filter(({ resumed }) => resumed > 0);
  const attempts = attemptsOf(fleet, marker);
  // One call each, and one more for each hand-over of a worker: no request was repeated.
  const most = streams * 3;
  const calls = attempts.primary + attempts.backup;
  if (moved.length === 0) complaints.push('no reader had to go on elsewhere');
  if (calls > most) complaints.push(`${calls} upstream calls for ${streams} streams`);
  return {
    ...worst(told, complaints),
    attempts,
    totalMs: exactTime() - startedAt,
    longestGapMs: Math.max(...told.map(({ longestGapMs }) => longestGapMs)),
    figures: {
      streams,
      lost: told.filter(({ verdict }) => verdict !== 'pass').length,
      resumed: moved.length,
      resumes: told.reduce((sum, { resumed }) => sum + resumed, 0),
      gapP95Ms: Math.round(
        quantile(
          told.map(({ longestGapMs }) => longestGapMs),
          0.95,
        ),
      ),
      restartMs: Math.round(restartMs),
    },
  };
}

type Late = { marker: string; text: string; urls(attempt: number): string; stage: Stage };

/** A plain reader that is cut off, and requests its answer only when it is complete. */
function startLate({ marker, text, urls, stage }: Late) {
  const { patienceMs, signal } = stage;
  const body = question('m11', marker, { stream: true });
  const first = send(completionsOf(urls(0)), { body, patienceMs, signal });
  const judge = (shown: string, resumed: number): One => {
    const wrong = difference(shown, text);
    const verdict = wrong === undefined ? 'pass' : 'fail';
    return { verdict, reason: wrong ?? '', resumed, longestGapMs: 0 };
  };
  async function told(): Promise<One> {
    const ended = await first.ended;
    if (ended.events.at(-1)?.data === '[DONE]') {
      return judge(ended.events.map(({ data }) => textOf(data)).join(''), 0);
    }
    const id = String(first.headers['x-request-id']);
    const last = ended.events.at(-1)?.data ?? '';
    const wrong = last.includes('"server_draining"')
      ? wrongFarewell(ended, id)
      : `cut off without a word: ${ended.how} ${ended.status} ${last.slice(0, 100)}`;
    if (wrong !== undefined) return { ...judge('', 1), reason: wrong };
    return judge(await answerOf(id, () => urls(1), stage), 1);
  }
  return { count: first.count, told: told() };
}

/** The answer of a request, once it has ended; empty if it failed. */
async function answerOf(id: string, urlOf: () => string, stage: Stage): Promise<string> {
  const { patienceMs, signal } = stage;
  // The event stream ends with the request; the job has its answer then.
  for (let i = 0; i < 20 && !signal.aborted; i++) {
    const { events } = await send(`${urlOf()}/v1/jobs/${id}/events`, { patienceMs, signal }).ended;
    if (events.at(-1)?.event !== 'moved' && events.length > 0) break;
  }
  const { text } = await send(`${urlOf()}/v1/jobs/${id}`, { patienceMs, signal }).ended;
  const job = JSON.parse(text || '{}') as {
    result?: { choices?: { message?: { content?: string } }[] };
  };
  return job.result?.choices?.[0]?.message?.content ?? '';
}
