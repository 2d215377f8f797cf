import { visibility } from '@millrace/formats/openai-chat/chunk';
import { decodeEntry } from '@millrace/shared/domain/entry';
import type { TokenCounts } from '@millrace/shared/cost/usage';
import type { Target } from '@millrace/shared/domain/request';
import type { Activation } from '@millrace/shared/store/queue/port';
import { describe, expect, it } from 'vitest';
import type { AttemptOutcome } from './attempt.ts';
import type { LogWriter } from './append-writer.ts';
import { runAttempts } from './attempt-loop.ts';
import type { AttemptLoopOptions } from './attempt-loop.ts';
import { chunk, ended, fault, historyOf, said, started } from '../continuation/history.fixture.ts';
import type { History } from '../continuation/history.ts';
import type { Route } from '../continuation/plan.ts';
import { uncounted } from '../observe/metrics.fixture.ts';
import type { CallOptions, RunDeps } from './port.ts';
import { openTargets } from '../upstream/target-access.fixture.ts';
import type { WaitNeed } from '../upstream/target-access.ts';
import type { WaitOutcome } from '../upstream/selection/waiter.ts';

/* The steps of a run, with upstream calls that a test plays itself. */

const primary: Route = { provider: 'primary', model: 'gpt-4o', prefill: false };
const backup: Route = { provider: 'backup', model: 'claude', prefill: false };
const third: Route = { provider: 'third', model: 'mistral', prefill: true };

type Call = CallOptions & { end(outcome: AttemptOutcome): void };

type Ownership = Partial<Pick<AttemptLoopOptions, 'isSealFresh'>> & {
  reader?: Activation['data']['reader'];
  /** Of every call. */
  firstTokenAt?: number;
  /** Billionths of a USD. */
  maxCost?: number;
  waits?: Pick<LogWriter, 'sent' | 'flushed'>;
};

function start(
  history: History,
  routes: Route[] = [primary, backup],
  more: Partial<RunDeps> = {},
  { isSealFresh = () => true, waits, reader = 'plain', firstTokenAt, maxCost }: Ownership = {},
) {
  const lines: string[] = [];
  const calls: Call[] = [];
  const deps: Partial<RunDeps> = {
    policy: () => undefined,
    routes: () => routes,
    openTargets,
    mayHedge: () => true,
    returnHedge() {},
    now: () => 1234,
    metrics: uncounted,
    random: () => 0,
    onError(error) {
      throw error;
    },
    call(options) {
      let settle: (outcome: AttemptOutcome) => void = () => {};
      const outcome = new Promise<AttemptOutcome>((resolve) => (settle = resolve));
      calls.push({ ...options, end: settle });
      const stop = () => settle({ kind: 'superseded' });
      return { outcome, firstTokenAt, heldBytes: 0, stop, pause() {}, resume() {} };
    },
    ...more,
  };
  const data = {
    model: 'm',
    endpoint: '/v1/chat/completions',
    stream: true,
    reader,
    attached: false,
    targets: [],
    createdAt: 0,
    ...(maxCost !== undefined && { maxCost }),
  } as const satisfies Activation['data'];
  const conclusion = runAttempts({
    activation: { id: 'r', number: 2, data, token: 't', lockLost: new AbortController().signal },
    deps: deps as RunDeps,
    body: '{"messages":[]}',
    history,
    loggedChars: 0,
    writer: {
      push: (line) => lines.push(line),
      pushDeferred: (line) => lines.push(line),
      end: (line) => lines.push(line),
      sent: () => undefined,
      flushed: () => undefined,
      jobEnded: false,
      ...waits,
    },
    run: 2,
    isSealFresh,
    signal: new AbortController().signal,
    onRace() {},
  });
  return {
    conclusion,
    calls,
    asked: () => calls.map(({ target, mode }) => `${target.provider} ${mode}`),
    failed: () =>
      lines.map(decodeEntry).flatMap((entry) => (entry.kind === 'failed' ? [entry.data] : []))[0],
    chunks: () => lines.map(decodeEntry).filter(({ kind }) => kind === 'chunk'),
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

describe('a request with a cap on its cost', () => {
  /** Half a billionth for each token of output: an attempt with a usual answer is bound to 250. */
  const costs: RunDeps['costs'] = {
    prices: (_target, { output }) => output / 2,
    load: () => undefined,
  };
  const usage = { completion_tokens: 100 };
  const failedAttempt = {
    ...ended(1, 'upstream_timeout', 1500),
    data: { ...ended(1, 'upstream_timeout', 1500).data, usage },
  };
  const lost = () => historyOf(started(1, third), failedAttempt);

  it('asks as long as the earlier attempts leave enough of it', async () => {
    const { asked } = start(lost(), [primary], { costs }, { maxCost: 300 });
    await idle();
    expect(asked()).toEqual(['primary start']);
  });

  it('fails when another attempt might exceed it, and says so', async () => {
    const { conclusion, asked, failed } = start(lost(), [primary], { costs }, { maxCost: 299 });
    expect(await conclusion).toMatchObject({ kind: 'failed' });
    expect(asked()).toEqual([]);
    expect(failed()).toMatchObject({ httpStatus: 400, error: { code: 'max_cost_exceeded' } });
  });

  it('goes on with an answer that has begun', async () => {
    const begun = historyOf(started(1, third), said('Hi'), failedAttempt);
    const { asked } = start(begun, [primary], { costs }, { maxCost: 299 });
    await idle();
    expect(asked().length).toBe(1);
  });
});

describe('a hedge that fails', () => {
  const third: Route = { provider: 'third', model: 'mistral', prefill: false };
  const overloaded = { kind: 'fault', fault: fault('upstream_overloaded') } as const;

  it('is retried, and then the next target is asked, beside a primary that never answers', async () => {
    let hedges = 0;
    const { calls, asked, conclusion } = start(historyOf(), [primary, backup, third], {
      mayHedge: () => (hedges += 1) === 1,
    });
    calls[0]?.onSlow?.();
    for (let i = 1; i < 4; i++) {
      calls[i]?.end(overloaded);
      await idle();
    }
    expect(asked()).toEqual([
      'primary start',
      'backup start',
      'backup start',
      'backup start',
      'third start',
    ]);
    // Only the first of them is one.
    expect(hedges).toBe(1);
    for (const call of calls.slice(4)) {
      speak(call);
      call.end({ kind: 'completed', finishReason: 'stop' });
    }
    expect(await conclusion).toEqual({ kind: 'completed', summary: 'stop' });
  });

  it('after which nobody is left leaves the word to the primary', async () => {
    const { calls, asked } = start(historyOf());
    calls[0]?.onSlow?.();
    calls[1]?.end({ kind: 'fault', fault: fault('upstream_timeout') });
    await idle();
    expect(asked()).toEqual(['primary start', 'backup start']);
  });
});

describe('a request that has to wait', () => {
  const third: Route = { provider: 'third', model: 'mistral', prefill: false };
  const unsuited = { kind: 'fault', fault: fault('target_unsuited') } as const;

  /** Only the primary may be asked; the wait ends as it is told to. */
  function waitsIn(history: History, waited: WaitOutcome, open = [primary]) {
    const needs: WaitNeed[] = [];
    const waits: { routes: string[]; urgent: boolean }[] = [];
    let closed = 0;
    const world = start(history, [primary, backup, third], {
      openTargets: (request) => ({
        ...openTargets(request),
        candidates: () => ({ open, shut: [backup, third] }),
        async wait(routes, need) {
          const { urgent } = need;
          needs.push(need);
          waits.push({ routes: routes.map(({ provider }) => provider), urgent });
          return waited;
        },
        close: () => (closed += 1),
      }),
    });
    return { ...world, waits, needs, closed: () => closed };
  }

  it('goes back to the queue when it is told to, with nothing written', async () => {
    const { conclusion, calls, told, closed } = waitsIn(historyOf(), { kind: 'not_yet' }, []);
    expect(await conclusion).toEqual({ kind: 'not_yet' });
    expect([calls, told(), closed()]).toEqual([[], [], 1]);
  });

  it('says whether it has asked anybody, and whether anybody waits on the line', async () => {
    const fresh = waitsIn(historyOf(), { kind: 'not_yet' }, []);
    await fresh.conclusion;
    expect(fresh.needs).toEqual([{ urgent: false, isFresh: true, isDetached: true }]);
    const asked = historyOf(started(1, third), ended(1, 'upstream_rate_limited'));
    const again = waitsIn(asked, { kind: 'not_yet' }, []);
    await again.conclusion;
    expect(again.needs).toEqual([{ urgent: false, isFresh: false, isDetached: true }]);
  });

  describe('that was refused for want of room, and has nobody on the line,', () => {
    const limited = { ...fault('upstream_rate_limited'), retryAfterMs: 60_000 };

    async function refused(code: AttemptOutcome, goBack: boolean) {
      const world = start(historyOf(), [primary], {
        openTargets: (request) => ({ ...openTargets(request), requeue: () => goBack }),
      });
      world.calls[0]?.end(code);
      return { conclusion: await world.conclusion, told: world.told() };
    }

    it('goes back, and the log has its attempt', async () => {
      expect(await refused({ kind: 'fault', fault: limited }, true)).toEqual({
        conclusion: { kind: 'not_yet' },
        told: ['attempt', '1 upstream_rate_limited'],
      });
    });

    it('fails where its model lacks more, or it was refused for another reason', async () => {
      const without = await refused({ kind: 'fault', fault: limited }, false);
      const other = await refused({ kind: 'fault', fault: fault('upstream_auth_failed') }, true);
      for (const { conclusion, told } of [without, other]) {
        expect(conclusion).toMatchObject({ kind: 'failed' });
        expect(told.at(-1)).toBe('failed');
      }
    });

    it('fails after as many refusals as any request', async () => {
      const often = Array.from({ length: 12 }, (_, i) => [
        started(i + 1, primary),
        ended(i + 1, 'upstream_rate_limited'),
      ]).flat();
      const { conclusion } = start(historyOf(...often), [primary], {
        openTargets: (request) => ({ ...openTargets(request), requeue: () => true }),
      });
      expect(await conclusion).toMatchObject({ kind: 'failed' });
    });
  });

  const turnedAway: WaitOutcome = {
    kind: 'fault',
    fault: { ...fault('no_target_available'), retryAfterMs: 7000 },
  };

  it('waits for what is left for it, and leaves its place in the end', async () => {
    const refused = historyOf(started(1, third), ended(1, 'target_unsuited'));
    const { calls, conclusion, waits, closed } = waitsIn(refused, turnedAway);
    calls[0]?.end(unsuited);
    expect(await conclusion).toMatchObject({ kind: 'failed' });
    expect(waits).toEqual([{ routes: ['backup'], urgent: false }]);
    expect(closed()).toBe(1);
  });

  it('says so where its reader has a part of the answer', async () => {
    const { calls, conclusion, waits } = waitsIn(historyOf(said('Hi')), turnedAway);
    for (let i = 0; waits.length === 0 && i < 20; i++) {
      calls[i]?.end({ kind: 'fault', fault: fault('upstream_auth_failed') });
      await idle();
    }
    await conclusion;
    expect(waits).toMatchObject([{ urgent: true }]);
  });

  it('fails as its last attempt did, with the time when it is worth coming back', async () => {
    const { calls, conclusion, failed } = waitsIn(historyOf(), turnedAway);
    calls[0]?.end({ kind: 'fault', fault: fault('upstream_auth_failed') });
    await conclusion;
    expect(failed()).toMatchObject({
      error: { code: 'upstream_auth_failed' },
      retryAfterMs: 7000,
    });
  });
});

describe('the time of a request', () => {
  const limits = ({ calls }: ReturnType<typeof start>) => calls.map(({ limit }) => limit.at);
  const policy = () => ({
    continuation: 'auto' as const,
    onSlowFirstToken: 'hedge' as const,
    holdToolCalls: true,
    timeoutMs: 60_000,
  });

  it('is one for all its attempts, and goes on when another worker takes over', async () => {
    // Its first attempt began at 1000.
    const run = start(historyOf(started(1, primary)), [primary, backup], {
      policy,
      now: () => 9000,
    });
    run.calls[0]?.end({ kind: 'fault', fault: fault('upstream_timeout') });
    await idle();
    expect(limits(run)).toEqual([61_000, 61_000]);
  });

  it('begins with the first attempt', () => {
    expect(limits(start(historyOf(), [primary], { policy, now: () => 9000 }))).toEqual([69_000]);
  });
});

describe('the request as the next target is asked it', () => {
  const asked = ({ calls }: ReturnType<typeof start>) =>
    calls.map(({ wasAccepted }) => wasAccepted);

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

describe('the line of an attempt', () => {
  /** A writer whose lines are on their way, and in the log, when the test says so. */
  function createSlowWriter() {
    const [sent, flushed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    return { sent, flushed, waits: { sent: () => sent.promise, flushed: () => flushed.promise } };
  }

  it('is on its way before the first call of a run, which its seal has proved to be ours', async () => {
    const { sent, waits } = createSlowWriter();
    const { asked, told } = start(historyOf(), [primary], {}, { waits });
    await idle();
    expect(told()).toEqual(['attempt']);
    expect(asked()).toEqual([]);
    sent.resolve();
    await idle();
    expect(asked()).toEqual(['primary start']);
  });

  it('is in the log before any later call', async () => {
    const { sent, flushed, waits } = createSlowWriter();
    const { asked, calls } = start(historyOf(), [primary, backup], {}, { waits });
    sent.resolve();
    await idle();
    calls[0]?.end({ kind: 'fault', fault: fault('upstream_reset') });
    await idle();
    expect(asked()).toEqual(['primary start']);
    flushed.resolve();
    await idle();
    expect(asked()).toHaveLength(2);
  });

  it('is in the log before the first call, too, where the process stood still since its seal', async () => {
    const { sent, flushed, waits } = createSlowWriter();
    const isSealFresh = () => false;
    const { asked } = start(historyOf(), [primary], {}, { waits, isSealFresh });
    sent.resolve();
    await idle();
    expect(asked()).toEqual([]);
    flushed.resolve();
    await idle();
    expect(asked()).toEqual(['primary start']);
  });
});

describe('targets that all break off in the same place', () => {
  const cite = (n: number) => ({ type: 'url_citation', url: `https://example.org/${n}` });
  const detail = (part: object) => ({ type: 'reasoning.text', index: 0, ...part });
  const text = 'It is long enough to be found again by its last words, and it says nothing else.';

  it.each([
    ['a citation', [{ content: text }, { annotations: [cite(1)] }]],
    [
      'a channel of each chunk',
      [
        { content: text, channel: 'final' },
        { content: '', token_id: 7 },
      ],
    ],
    ['an empty part', [{ content: text }, { reasoning_details: [detail({ text: '' })] }]],
    ['reasoning under its own name', [{ reasoning: text }, { reasoning_content: '' }]],
    ['signed reasoning', [{ reasoning_details: [detail({ text: 'Hm.', signature: 'S' })] }]],
  ] as const)('are asked once by each strategy, and %s is delivered once', async (_, deltas) => {
    for (const routes of [[primary], [primary, backup], [primary, backup, third]]) {
      for (const reader of ['plain', 'native'] as const) {
        const how = { reader, firstTokenAt: 1500 };
        const { calls, asked, chunks, conclusion } = start(historyOf(), routes, {}, how);
        let isOver = false;
        void conclusion.then(() => (isOver = true));
        for (let played = 0; !isOver; await idle()) {
          for (; played < calls.length; played += 1) breakOff(calls[played], deltas);
        }
        expect(calls.length).toBeLessThanOrEqual(10);
        const strategies = asked().filter((one) => /continue|replay|anchor/.test(one));
        // A single target is asked once more, having no other; and a fresh answer has strategies of its own.
        const mayRepeat = routes.length === 1 || reader === 'native';
        expect(strategies).toHaveLength(mayRepeat ? strategies.length : new Set(strategies).size);
        const times = 1 + asked().filter((one) => one.endsWith('restart')).length;
        expect(chunks()).toHaveLength(times * deltas.length);
      }
    }
  });

  function breakOff(call: Call | undefined, deltas: readonly object[]): void {
    for (const delta of deltas) {
      const one = chunk(delta);
      call?.sink.chunk(JSON.stringify(one), one, visibility(one) === 'visible');
    }
    call?.end({ kind: 'fault', fault: fault('upstream_reset') });
  }
});

describe('the fallback of a request with a cap on its cost', () => {
  // A bound is an answer of 500 tokens: 500 at the primary, 5000 at the backup.
  const costs = {
    prices: ({ provider }: Target, { output }: TokenCounts) =>
      output * (provider === 'primary' ? 1 : 10),
    load: () => undefined,
  };

  it('is no target above the cap', async () => {
    const { calls, conclusion, failed, asked } = start(
      historyOf(),
      [primary, backup],
      { costs },
      { maxCost: 900 },
    );
    calls[0]?.end({ kind: 'fault', fault: fault('upstream_idle_timeout') });
    await conclusion;
    expect(asked()).toEqual(['primary start']);
    expect(failed()).toMatchObject({ error: { code: 'upstream_idle_timeout' } });
  });

  it('is none if every target is above the cap', async () => {
    const { conclusion, failed, asked } = start(historyOf(), [backup], { costs }, { maxCost: 900 });
    await conclusion;
    expect(asked()).toEqual([]);
    expect(failed()).toMatchObject({ error: { code: 'max_cost_exceeded' } });
  });
});
