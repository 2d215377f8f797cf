import { beforeEach, describe, expect, it } from 'vitest';
import { createHeard, primary } from './answer.fixture.ts';
import type { Heard } from './answer.fixture.ts';
import type { Attempt, AttemptOutcome } from './attempt.ts';
import { createContest } from './contest.ts';
import type { AttemptStep, ContestOptions, ContestOutcome } from './contest.ts';
import { chunk, fault, historyOf, said, started } from './failover/history.fixture.ts';
import type { AnswerSink } from './provider/port.ts';

/* Attempts that a test plays itself: what they bring, and how each of them ends. */

type Played = {
  step: AttemptStep;
  sink: AnswerSink;
  onSlow: (() => void) | undefined;
  /** Why it was stopped, and how often it was paused. */
  stopped: string[];
  paused: number;
  say(content: string): void;
  end(outcome: AttemptOutcome): Promise<void>;
};

const backup = { provider: 'backup', model: 'claude', prefill: false };
const start: AttemptStep = { kind: 'attempt', route: primary, mode: 'start', delayMs: 0 };
const beside: AttemptStep = { ...start, route: backup };
const completed = { kind: 'completed', finishReason: 'stop' } as const;
const broken = { kind: 'fault', fault: fault('upstream_reset') } as const;

let played: Played[];
let heard: Heard;

beforeEach(() => {
  played = [];
  heard = createHeard();
});

const at = (index: number): Played => {
  const one = played[index];
  if (!one) throw new Error(`attempt ${index} was not made`);
  return one;
};

const idle = () => new Promise((resolve) => setImmediate(resolve));

function play(step: AttemptStep, sink: AnswerSink, onSlow: (() => void) | undefined): Attempt {
  let settle: (outcome: AttemptOutcome) => void = () => {};
  const outcome = new Promise<AttemptOutcome>((resolve) => (settle = resolve));
  const one: Played = {
    step,
    sink,
    onSlow,
    stopped: [],
    paused: 0,
    say(content) {
      const text = chunk({ content });
      sink.chunk(JSON.stringify(text), text, true);
    },
    async end(how) {
      settle(how);
      await idle();
    },
  };
  played.push(one);
  return {
    outcome,
    firstTokenAt: undefined,
    stop(reason) {
      one.stopped.push(reason === 'superseded' ? reason : reason.code);
      settle(reason === 'superseded' ? { kind: reason } : { kind: 'fault', fault: reason });
    },
    pause: () => (one.paused += 1),
    resume: () => (one.paused -= 1),
  };
}

function contest(options: Partial<ContestOptions> = {}) {
  const made = createContest({
    answer: heard.answer,
    call: play,
    hedge: () => beside,
    waits: true,
    handsOver: () => false,
    ...options,
  });
  let outcome: ContestOutcome | undefined;
  return {
    ...made,
    run(step = start) {
      void made.run(step).then((how) => (outcome = how));
    },
    outcome: () => outcome,
  };
}

const outcomes = () => heard.history.tries.map(({ outcome }) => outcome);

describe('an attempt alone', () => {
  it('completes the answer', async () => {
    const { run, outcome } = contest();
    run();
    at(0).say('Hi');
    await at(0).end(completed);
    expect(outcome()).toEqual({ kind: 'completed' });
    expect(heard.terminal()).toBe('done');
  });

  it('has the fault that it had', async () => {
    const { run, outcome } = contest();
    run();
    await at(0).end(broken);
    expect(outcome()).toEqual(broken);
  });

  it('that is no continuation is stopped at once, and says so', async () => {
    heard = createHeard({ history: historyOf(started(1, primary), said('Hello')), run: 2 });
    const { run, outcome } = contest();
    run({ ...start, mode: 'replay' });
    at(0).say('Good day');
    await idle();
    expect(at(0).stopped).toEqual(['no_continuation']);
    expect(outcome()).toMatchObject({ kind: 'fault', fault: { code: 'no_continuation' } });
  });

  it('that is whole but no continuation is a fault too', async () => {
    heard = createHeard({ history: historyOf(started(1, primary), said('Hello')), run: 2 });
    const { run, outcome } = contest();
    run({ ...start, mode: 'replay' });
    at(0).say('Hell');
    await at(0).end(completed);
    expect(outcome()).toMatchObject({ kind: 'fault', fault: { code: 'no_continuation' } });
  });

  it('is not told of slowness where that is a fault', () => {
    contest({ waits: false }).run();
    expect(at(0).onSlow).toBeUndefined();
  });

  it('that nobody may stand beside is waited for', async () => {
    const { run, outcome } = contest({ hedge: () => undefined });
    run();
    at(0).onSlow?.();
    expect(played).toHaveLength(1);
    at(0).say('Hi');
    await at(0).end(completed);
    expect(outcome()).toEqual({ kind: 'completed' });
  });
});

describe('an attempt beside a slow one', () => {
  it('starts while the first one goes on', () => {
    contest().run();
    at(0).onSlow?.();
    expect(played.map(({ step }) => step.route.provider)).toEqual(['openai', 'backup']);
    expect(played.map(({ stopped }) => stopped)).toEqual([[], []]);
  });

  it.each([
    [0, 1],
    [1, 0],
  ])(
    'whoever speaks first has the floor, and the other is called off (%i)',
    async (winner, loser) => {
      const { run, outcome } = contest();
      run();
      at(0).onSlow?.();
      at(winner).say('Hi');
      expect(at(loser).stopped).toEqual(['superseded']);
      expect(at(winner).stopped).toEqual([]);
      at(loser).say('Hello');
      await at(winner).end(completed);
      expect(outcome()).toEqual({ kind: 'completed' });
      expect(heard.deltas()).toEqual([{ content: 'Hi' }]);
      expect(outcomes()[loser]).toBe('superseded');
    },
  );

  it.each([
    [0, 1],
    [1, 0],
  ])('one that fails leaves the word to the other (%i)', async (fails, stays) => {
    const { run, outcome } = contest();
    run();
    at(0).onSlow?.();
    await at(fails).end(broken);
    expect(outcome()).toBeUndefined();
    at(stays).say('Hi');
    await at(stays).end(completed);
    expect(outcome()).toEqual({ kind: 'completed' });
  });

  it('when both fail, the last one’s fault is what is told', async () => {
    const { run, outcome } = contest();
    run();
    at(0).onSlow?.();
    await at(1).end(broken);
    await at(0).end({ kind: 'fault', fault: fault('upstream_timeout') });
    expect(outcome()).toMatchObject({ fault: { code: 'upstream_timeout' } });
    expect(outcomes()).toEqual(['upstream_timeout', 'upstream_reset']);
  });

  it('when the one that spoke breaks off, the other one stays called off', async () => {
    const { run, outcome } = contest();
    run();
    at(0).onSlow?.();
    at(1).say('Hi');
    await at(1).end(broken);
    at(0).say('Hello');
    expect(outcome()).toEqual(broken);
    expect(heard.deltas()).toEqual([{ content: 'Hi' }]);
  });

  it('that says nothing and is whole ends the other one', async () => {
    const { run, outcome } = contest();
    run();
    at(0).onSlow?.();
    await at(1).end(completed);
    expect(at(0).stopped).toContain('superseded');
    expect(outcome()).toEqual({ kind: 'completed' });
    // Both have their ledger entry, before the end.
    expect(heard.kinds()).toEqual(['attempt', 'attempt', 'attempt_end', 'attempt_end', 'done']);
    expect(outcomes()).toEqual(['superseded', 'completed']);
  });
});

describe('a run that is told to stop', () => {
  it('ends with the last of its attempts', async () => {
    const { run, outcome } = contest();
    run();
    at(0).onSlow?.();
    await at(0).end({ kind: 'aborted' });
    expect(outcome()).toBeUndefined();
    await at(1).end({ kind: 'aborted' });
    expect(outcome()).toEqual({ kind: 'aborted' });
    expect(outcomes()).toEqual(['open', 'open']);
    expect(heard.counted).toEqual(['start aborted', 'start aborted']);
  });

  it('hands over what it breaks off, where somebody is to go on', async () => {
    const { run } = contest({ handsOver: () => true });
    run();
    await at(0).end({ kind: 'aborted' });
    expect(outcomes()).toEqual(['handed_over']);
    expect(heard.counted).toEqual(['start handed_over']);
  });
});

it('pressure reaches every attempt', () => {
  const { run, pause, resume } = contest();
  run();
  at(0).onSlow?.();
  pause();
  expect(played.map(({ paused }) => paused)).toEqual([1, 1]);
  resume();
  expect(played.map(({ paused }) => paused)).toEqual([0, 0]);
});
