import { decodeEntry } from '@millrace/shared/domain/entry';
import type { Activation } from '@millrace/shared/queue/port';
import { describe, expect, it } from 'vitest';
import type { AttemptOutcome } from './attempt.ts';
import { climb } from './climb.ts';
import { chunk, ended, fault, historyOf, said, started } from './failover/history.fixture.ts';
import type { History } from './failover/history.ts';
import type { Route } from './failover/next.ts';
import { uncounted } from './metrics.fixture.ts';
import type { CallOptions, RunDeps } from './run.ts';

/* A run's way up the ladder, with upstream calls that a test plays itself. */

const primary: Route = { provider: 'primary', model: 'gpt-4o', prefill: false };
const backup: Route = { provider: 'backup', model: 'claude', prefill: false };

type Call = CallOptions & { end(outcome: AttemptOutcome): void };

function start(history: History, routes: Route[] = [primary, backup]) {
  const lines: string[] = [];
  const calls: Call[] = [];
  const deps: Partial<RunDeps> = {
    policy: () => undefined,
    routes: () => routes,
    mayHedge: () => true,
    now: () => 1234,
    metrics: uncounted,
    random: () => 0,
    call(options) {
      let settle: (outcome: AttemptOutcome) => void = () => {};
      const outcome = new Promise<AttemptOutcome>((resolve) => (settle = resolve));
      calls.push({ ...options, end: settle });
      const stop = () => settle({ kind: 'superseded' });
      return { outcome, firstTokenAt: undefined, stop, pause() {}, resume() {} };
    },
  };
  const data = {
    model: 'm',
    endpoint: '/v1/chat/completions',
    stream: true,
    reader: 'plain',
    attached: false,
    targets: [],
    createdAt: 0,
  } as const satisfies Activation['data'];
  const conclusion = climb({
    activation: { id: 'r', number: 2, data, lockLost: new AbortController().signal },
    deps: deps as RunDeps,
    body: '{"messages":[]}',
    history,
    writer: {
      push: (line) => lines.push(line),
      note: (line) => lines.push(line),
      end: (line) => lines.push(line),
      flushed: async () => {},
    },
    run: 2,
    signal: new AbortController().signal,
    onContest() {},
  });
  return {
    conclusion,
    calls,
    asked: () => calls.map(({ target, mode }) => `${target.provider} ${mode}`),
    told: () =>
      lines.map(decodeEntry).map((entry) => {
        if (entry.kind === 'attempt_end') return `${entry.data.attempt} ${entry.data.outcome}`;
        return entry.kind;
      }),
  };
}

const idle = () => new Promise((resolve) => setImmediate(resolve));

function speak({ sink }: Call): void {
  const one = chunk({ role: 'assistant', content: 'Hi' }, { finish: 'stop' });
  sink.chunk(JSON.stringify(one), one, true);
}

describe('a run that takes over from a dead worker', () => {
  it('says of its attempts that they were lost, before it makes one of its own', async () => {
    const { told } = start(historyOf(started(1, primary), started(2, backup)));
    await idle();
    expect(told()).toEqual(['1 worker_lost', '2 worker_lost', 'attempt']);
  });

  it('says so too where only the end is missing', async () => {
    const { told, conclusion } = start(
      historyOf(started(1, primary), said('Hi'), said({}, { finish: 'stop' })),
    );
    await conclusion;
    expect(told()).toEqual(['1 worker_lost', 'usage', 'done']);
  });

  it('may ask its target beside a slow one', async () => {
    const { calls, asked, conclusion } = start(historyOf(started(1, primary)));
    calls[0]?.onSlow?.();
    expect(asked()).toEqual(['backup start', 'primary start']);
    for (const call of calls.slice(1)) {
      speak(call);
      call.end({ kind: 'completed', finishReason: 'stop' });
    }
    expect(await conclusion).toEqual({ kind: 'completed', summary: 'stop' });
  });
});

it('a target is not asked beside itself', () => {
  const { calls, asked } = start(historyOf(), [primary]);
  calls[0]?.onSlow?.();
  expect(asked()).toEqual(['primary start']);
});

describe('the request as the next target is asked it', () => {
  const asked = ({ calls }: ReturnType<typeof start>) => calls.map(({ accepted }) => accepted);

  it('is one that nobody took yet, before any answer began', async () => {
    const run = start(historyOf());
    run.calls[0]?.end({ kind: 'fault', fault: fault('upstream_timeout') });
    await idle();
    expect(asked(run)).toEqual([false, false]);
  });

  it.each([
    ['shown', historyOf(started(1, primary), said('Hi'))],
    ['not shown', historyOf(started(1, primary), ended(1, 'upstream_reset', 1500))],
  ])('was taken once an answer to it began, %s', async (_, history) => {
    const run = start(history);
    await idle();
    expect(asked(run)).toEqual([true]);
  });
});
