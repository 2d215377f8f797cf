import { beforeEach, describe, expect, it, vi } from 'vitest';
import { createJournalRig, primary } from './journal.fixture.ts';
import type { JournalRig } from './journal.fixture.ts';
import type { Attempt, AttemptOutcome } from './attempt.ts';
import { createRace } from './race.ts';
import type { AttemptStep, RaceOptions, RaceOutcome } from './race.ts';
import { chunk, fault, historyOf, said, started } from '../continuation/history.fixture.ts';
import type { AnswerSink } from '@millrace/formats/port';
import { freePermit } from '../upstream/target-access.fixture.ts';
import type { Permit } from '../upstream/target-access.ts';

/** That somebody waits for at the moment. */
const pauses = vi.hoisted(() => new Set<Promise<unknown>>());
vi.mock(import('node:timers/promises'), async (original) => {
  const real = await original();
  const sleep: typeof real.setTimeout = (...how) => {
    const pause = real.setTimeout(...how).finally(() => pauses.delete(pause));
    pauses.add(pause);
    return pause;
  };
  return { ...real, setTimeout: sleep };
});

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
let rig: JournalRig;

beforeEach(() => {
  played = [];
  rig = createJournalRig();
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
    heldBytes: 0,
    stop(reason) {
      one.stopped.push(reason === 'superseded' ? reason : reason.code);
      settle(reason === 'superseded' ? { kind: reason } : { kind: 'fault', fault: reason });
    },
    pause: () => (one.paused += 1),
    resume: () => (one.paused -= 1),
  };
}

function race(options: Partial<RaceOptions> = {}) {
  const made = createRace({
    journal: rig.journal,
    acquire: () => freePermit,
    call: (step, _permit, sink, onSlow) => play(step, sink, onSlow),
    hedge: () => beside,
    returnHedge() {},
    fallback: () => undefined,
    signal: new AbortController().signal,
    onError(error) {
      throw error;
    },
    waits: true,
    handsOver: () => false,
    logged: () => undefined,
    ...options,
  });
  let outcome: RaceOutcome | undefined;
  return {
    ...made,
    run(step = start) {
      void made.run(step, freePermit).then((how) => (outcome = how));
    },
    runWith: (permit: Permit) => made.run(start, permit),
    outcome: () => outcome,
  };
}

const outcomes = () => rig.history.attempts.map(({ outcome }) => outcome);

describe('an attempt alone', () => {
  it('completes the answer', async () => {
    const { run, outcome } = race();
    run();
    at(0).say('Hi');
    await at(0).end(completed);
    expect(outcome()).toEqual({ kind: 'completed' });
    expect(rig.terminal()).toBe('done');
  });

  it('has the fault that it had', async () => {
    const { run, outcome } = race();
    run();
    await at(0).end(broken);
    expect(outcome()).toEqual(broken);
  });

  it('that is no continuation is stopped at once, and says so', async () => {
    rig = createJournalRig({ history: historyOf(started(1, primary), said('Hello')), run: 2 });
    const { run, outcome } = race();
    run({ ...start, mode: 'replay' });
    at(0).say('Good day');
    await idle();
    expect(at(0).stopped).toEqual(['no_continuation']);
    expect(outcome()).toMatchObject({ kind: 'fault', fault: { code: 'no_continuation' } });
  });

  it('that is whole but no continuation is a fault too', async () => {
    rig = createJournalRig({ history: historyOf(started(1, primary), said('Hello')), run: 2 });
    const { run, outcome } = race();
    run({ ...start, mode: 'replay' });
    at(0).say('Hell');
    await at(0).end(completed);
    expect(outcome()).toMatchObject({ kind: 'fault', fault: { code: 'no_continuation' } });
  });

  it('is not told of slowness where that is a fault', () => {
    race({ waits: false }).run();
    expect(at(0).onSlow).toBeUndefined();
  });

  it('that nobody may stand beside is waited for', async () => {
    const { run, outcome } = race({ hedge: () => undefined });
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
    race().run();
    at(0).onSlow?.();
    expect(played.map(({ step }) => step.route.provider)).toEqual(['openai', 'backup']);
    expect(played.map(({ stopped }) => stopped)).toEqual([[], []]);
  });

  it.each([
    [0, 1],
    [1, 0],
  ])(
    'the first attempt with a visible chunk wins the race, and the other one is aborted (%i)',
    async (winner, loser) => {
      const { run, outcome } = race();
      run();
      at(0).onSlow?.();
      at(winner).say('Hi');
      expect(at(loser).stopped).toEqual(['superseded']);
      expect(at(winner).stopped).toEqual([]);
      at(loser).say('Hello');
      await at(winner).end(completed);
      expect(outcome()).toEqual({ kind: 'completed' });
      expect(rig.deltas()).toEqual([{ content: 'Hi' }]);
      expect(outcomes()[loser]).toBe('superseded');
    },
  );

  it.each([
    [0, 1],
    [1, 0],
  ])('one that fails leaves the word to the other (%i)', async (fails, stays) => {
    const { run, outcome } = race();
    run();
    at(0).onSlow?.();
    await at(fails).end(broken);
    expect(outcome()).toBeUndefined();
    at(stays).say('Hi');
    await at(stays).end(completed);
    expect(outcome()).toEqual({ kind: 'completed' });
  });

  it('when both fail, the last one’s fault is what is told', async () => {
    const { run, outcome } = race();
    run();
    at(0).onSlow?.();
    await at(1).end(broken);
    await at(0).end({ kind: 'fault', fault: fault('upstream_timeout') });
    expect(outcome()).toMatchObject({ fault: { code: 'upstream_timeout' } });
    expect(outcomes()).toEqual(['upstream_timeout', 'upstream_reset']);
  });

  it('when the one that spoke breaks off, the other one stays called off', async () => {
    const { run, outcome } = race();
    run();
    at(0).onSlow?.();
    at(1).say('Hi');
    await at(1).end(broken);
    at(0).say('Hello');
    expect(outcome()).toEqual(broken);
    expect(rig.deltas()).toEqual([{ content: 'Hi' }]);
  });

  it('that says nothing and is whole ends the other one', async () => {
    const { run, outcome } = race();
    run();
    at(0).onSlow?.();
    await at(1).end(completed);
    expect(at(0).stopped).toContain('superseded');
    expect(outcome()).toEqual({ kind: 'completed' });
    // Both have their ledger entry, before the end.
    expect(rig.kinds()).toEqual(['attempt', 'attempt', 'attempt_end', 'attempt_end', 'done']);
    expect(outcomes()).toEqual(['superseded', 'completed']);
  });
});

describe('an attempt that fails beside a slow one', () => {
  const third: AttemptStep = { ...start, route: { ...backup, provider: 'third' } };
  const asked = () => played.map(({ step }) => step.route.provider);

  it('is followed by the next step, and not by waiting for the slow one', async () => {
    const faults: string[] = [];
    const steps = [beside, third];
    const { run, outcome } = race({
      fallback({ code }) {
        faults.push(code);
        return steps.shift();
      },
    });
    run();
    at(0).onSlow?.();
    await at(1).end(broken);
    await at(2).end({ kind: 'fault', fault: fault('upstream_overloaded') });
    expect(asked()).toEqual(['openai', 'backup', 'backup', 'third']);
    expect(faults).toEqual(['upstream_reset', 'upstream_overloaded']);
    at(3).say('Hi');
    expect(at(0).stopped).toEqual(['superseded']);
    await at(3).end(completed);
    expect(outcome()).toEqual({ kind: 'completed' });
  });

  it('is followed once the other one is late too', async () => {
    const { run } = race({ fallback: () => third });
    run();
    at(0).onSlow?.();
    await at(0).end(broken);
    expect(asked()).toEqual(['openai', 'backup']);
    at(1).onSlow?.();
    expect(asked()).toEqual(['openai', 'backup', 'third']);
  });

  it('leaves the word to the slow one when nobody else is left', async () => {
    const { run, outcome } = race();
    run();
    at(0).onSlow?.();
    await at(1).end(broken);
    expect(outcome()).toBeUndefined();
    at(0).say('Hi');
    await at(0).end(completed);
    expect(outcome()).toEqual({ kind: 'completed' });
  });

  const after = (delayMs: number) => race({ fallback: () => ({ ...third, delayMs }) });

  it('is followed after its pause, also when the slow one has failed by then', async () => {
    const { run, outcome } = after(5);
    run();
    at(0).onSlow?.();
    await at(1).end(broken);
    await at(0).end(broken);
    expect(outcome()).toBeUndefined();
    await expect.poll(asked).toEqual(['openai', 'backup', 'third']);
    await at(2).end(broken);
    expect(outcome()).toEqual(broken);
  });

  it('is followed by nobody once the slow one has spoken, even if that one breaks off', async () => {
    const { run, outcome } = after(60_000);
    run();
    at(0).onSlow?.();
    await at(1).end(broken);
    expect(pauses.size).toBe(1);
    at(0).say('Hi');
    await at(0).end(broken);
    expect(outcome()).toEqual(broken);
    // Nobody waits for the end of the pause.
    expect(pauses.size).toBe(0);
    expect(asked()).toEqual(['openai', 'backup']);
  });

  it('is followed by nobody in a run that stops during the pause', async () => {
    const controller = new AbortController();
    const { run, outcome } = race({
      fallback: () => ({ ...third, delayMs: 60_000 }),
      signal: controller.signal,
    });
    run();
    at(0).onSlow?.();
    await at(1).end(broken);
    await at(0).end(broken);
    controller.abort();
    await expect.poll(outcome).toEqual({ kind: 'aborted' });
  });
});

describe('a target that takes none now', () => {
  const third: AttemptStep = { ...start, route: { ...backup, provider: 'third' } };
  const asked = () => played.map(({ step }) => step.route.provider);
  const refusing =
    (...names: string[]) =>
    ({ route }: AttemptStep) =>
      names.includes(route.provider) ? Promise.resolve(undefined) : freePermit;

  it('is no hedge: another one is, and only that one is paid for', async () => {
    const steps = [beside, third];
    let returned = 0;
    const { run } = race({
      acquire: refusing('backup'),
      hedge: () => steps.shift(),
      returnHedge: () => (returned += 1),
    });
    run();
    at(0).onSlow?.();
    await idle();
    expect(asked()).toEqual(['openai', 'third']);
    expect(returned).toBe(1);
  });

  it('does not follow one that failed: the next one does, for the same fault', async () => {
    const faults: string[] = [];
    const steps = [{ ...beside, route: { ...backup, provider: 'full' } }, third];
    const { run } = race({
      acquire: refusing('full'),
      fallback({ code }) {
        faults.push(code);
        return steps.shift();
      },
    });
    run();
    at(0).onSlow?.();
    await at(1).end(broken);
    expect(asked()).toEqual(['openai', 'backup', 'third']);
    expect(faults).toEqual(['upstream_reset', 'upstream_reset']);
  });

  it.each([
    ['later', refusing('backup')],
    ['at once', () => undefined],
  ])('and says so %s is not asked for ever', async (_when, acquire) => {
    let hedges = 0;
    let returned = 0;
    const { run, outcome } = race({
      acquire,
      hedge() {
        hedges += 1;
        return beside;
      },
      returnHedge: () => (returned += 1),
    });
    run();
    at(0).onSlow?.();
    await idle();
    expect([hedges, returned]).toEqual([2, 2]);
    at(0).say('Hi');
    await at(0).end(completed);
    expect(outcome()).toEqual({ kind: 'completed' });
  });
});

describe('a bug', () => {
  const bug = () => {
    throw new RangeError('a bug');
  };
  const ours = { kind: 'fault', fault: { code: 'internal_error' } };
  let errors: unknown[];
  const onError = (error: unknown) => errors.push(error);
  beforeEach(() => {
    errors = [];
  });

  it('in a hedge ends this run', async () => {
    const { run, outcome } = race({ hedge: bug, onError });
    run();
    at(0).onSlow?.();
    await idle();
    expect(outcome()).toMatchObject(ours);
    expect(outcomes()).toEqual(['internal_error']);
    expect(errors).toEqual([new RangeError('a bug')]);
  });

  it('in a call is that attempt’s fault', async () => {
    const { run, outcome } = race({ call: bug, onError });
    run();
    await idle();
    expect(outcome()).toMatchObject(ours);
    expect(outcomes()).toEqual(['internal_error']);
    expect(errors).toHaveLength(1);
  });

  it('loses no permit, whether or not the call had begun', async () => {
    const told: string[] = [];
    const permit: Permit = {
      apiKey: undefined,
      begin: () => ({
        head() {},
        firstToken() {},
        ended: ({ kind }) => told.push(`ended ${kind}`),
      }),
      cancel: () => told.push('cancelled'),
    };
    const lose = async (options: Partial<RaceOptions>) => {
      await race({ onError, ...options }).runWith(permit);
      return told.splice(0);
    };
    expect(await lose({ call: bug })).toEqual(['cancelled']);
    const begun = await lose({
      call(_step, given) {
        given.begin();
        return bug();
      },
    });
    expect(begun).toEqual(['ended fault']);
    const unheard = await lose({ journal: Object.assign(rig.journal, { open: bug }) });
    expect(unheard).toEqual(['cancelled']);
  });

  it('in the ledger entry of the only attempt ends this run', async () => {
    const { run, outcome } = race({ journal: Object.assign(rig.journal, { ended: bug }), onError });
    run();
    await at(0).end(broken);
    expect(outcome()).toMatchObject(ours);
    expect(errors).toHaveLength(1);
  });

  it('in the end of an attempt ends this run and calls off the others', async () => {
    const { run, outcome } = race({ fallback: bug, onError });
    run();
    at(0).onSlow?.();
    await at(1).end(broken);
    await idle();
    expect(outcome()).toMatchObject(ours);
    expect(at(0).stopped).toEqual(['internal_error']);
    expect(errors).toHaveLength(1);
  });
});

describe('a run that is told to stop', () => {
  it('asks nobody beside a slow attempt any more', () => {
    race({ signal: AbortSignal.abort() }).run();
    at(0).onSlow?.();
    expect(played).toHaveLength(1);
  });

  it('ends with the last of its attempts', async () => {
    const { run, outcome } = race();
    run();
    at(0).onSlow?.();
    await at(0).end({ kind: 'aborted' });
    expect(outcome()).toBeUndefined();
    await at(1).end({ kind: 'aborted' });
    expect(outcome()).toEqual({ kind: 'aborted' });
    expect(outcomes()).toEqual(['open', 'open']);
    expect(rig.counted).toEqual(['start aborted', 'start aborted']);
  });

  it('hands over what it breaks off, where somebody is to go on', async () => {
    const { run } = race({ handsOver: () => true });
    run();
    await at(0).end({ kind: 'aborted' });
    expect(outcomes()).toEqual(['handed_over']);
    expect(rig.counted).toEqual(['start handed_over']);
  });
});

describe('pressure', () => {
  const isPaused = () => played.map(({ paused }) => paused > 0);

  it('reaches every attempt', () => {
    const { run, pause, resume } = race();
    run();
    at(0).onSlow?.();
    pause();
    expect(isPaused()).toEqual([true, true]);
    resume();
    expect(played.map(({ paused }) => paused)).toEqual([0, 0]);
  });

  it('reaches those that start under it', async () => {
    const { run, pause, resume } = race();
    run();
    pause();
    await at(0).end(broken);
    run();
    expect(isPaused()).toEqual([true, true]);
    resume();
    expect(at(1).paused).toBe(0);
  });

  it('keeps a hedge waiting until it ends', () => {
    const { run, pause, resume } = race();
    run();
    pause();
    at(0).onSlow?.();
    expect(played).toHaveLength(1);
    resume();
    expect(played).toHaveLength(2);
  });
});

it('an attempt that is called off before its call was made costs nothing', async () => {
  const run = new AbortController();
  const { runWith } = race({ logged: () => new Promise(() => {}), signal: run.signal });
  const outcome = runWith(freePermit);
  run.abort('fenced');
  expect(await outcome).toEqual({ kind: 'aborted' });
  expect(rig.history.stopped).toEqual([expect.not.objectContaining({ usage: expect.anything() })]);
});
