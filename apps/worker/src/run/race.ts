import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Answer } from './journal.ts';
import type { Attempt, AttemptOutcome } from './attempt.ts';
import { failedAttempt, ourFault } from './failed-attempt.ts';
import { startWhenLogged } from './logged-attempt.ts';
import type { Route, Step } from '../continuation/plan.ts';
import { holdPlace } from './place.ts';
import type { Place } from './place.ts';
import type { AnswerSink } from '../provider/port.ts';
import type { Permit } from '../upstream/gate.ts';
import type { GiveUp, Voice } from './output-gate.ts';

export type AttemptStep = Extract<Step, { kind: 'attempt' }>;

export type ContestOptions = {
  answer: Answer;
  /** Ends the run: nobody is asked any more. */
  signal: AbortSignal;
  /** Whether what the run's stop breaks off is handed to another worker. */
  handsOver(): boolean;
  /**
   * Resolves when the line of the attempt that was opened last is in the log: its call is made then. At once
   * where it is undefined.
   */
  logged(): Promise<void> | undefined;
  /** A place at the step's target; undefined when it takes none now. */
  enter(step: AttemptStep): Permit | undefined | Promise<Permit | undefined>;
  call(
    step: AttemptStep,
    permit: Permit,
    sink: AnswerSink,
    onSlow: (() => void) | undefined,
  ): Attempt;
  /**
   * The first token of an attempt is late: the step of another that starts beside it, or undefined
   * when it is only waited for.
   */
  hedge(): AttemptStep | undefined;
  /** The hedge does not start after all: it costs nothing. */
  spareHedge(): void;
  /**
   * One attempt failed, and all that are left are late: what follows it, beside them, or undefined when
   * nobody is left to ask. It costs no more than if they were not there.
   */
  fallback(fault: Fault): AttemptStep | undefined;
  /** Late first tokens are waited for, and may be hedged; otherwise they are faults. */
  waits: boolean;
  onError(error: unknown): void;
};

/** How one step of the ladder ended. */
export type ContestOutcome =
  /** The answer is whole. */
  | { kind: 'completed' }
  /** Every attempt of it failed: the last one's fault. */
  | { kind: 'fault'; fault: Fault }
  /** The run was told to stop. */
  | { kind: 'aborted' };

/** `pause`: ends the pauses before others start, once there is one. */
type Silence = { isOver: boolean; pause: AbortController | undefined };

type Racer = { voice: Voice; attempt: Attempt; isLate: boolean };

/**
 * One step of the ladder: an attempt, and beside it others when its first token is late. Whoever speaks
 * first has the floor, and the others are called off. One that is late may never speak: the others go up
 * the ladder beside it as if it had failed.
 */
export type Contest = {
  run(step: AttemptStep, permit: Permit): Promise<ContestOutcome>;
  /** The log cannot take more for now, or can again. */
  pause(): void;
  resume(): void;
  /** What its attempts hold back. */
  readonly heldBytes: number;
};

export function createContest(options: ContestOptions): Contest {
  const { answer, call, hedge, fallback, waits, handsOver, logged, signal, onError } = options;
  const { enter: admit, spareHedge } = options;
  const racers = new Set<Racer>();
  let paused = false;
  let settle: (outcome: ContestOutcome) => void = () => {};
  /** Until the first word. */
  let silence: Silence = { isOver: false, pause: undefined };
  /** Those who failed beside others, and whom nobody has followed yet. */
  let unanswered: Fault[] = [];
  /** Somebody became late since the last hedge. */
  let wantsHedge = false;
  /** Targets that took none when they were asked for one. */
  const refusers = new Set<Route>();
  /** One more starts after its pause. */
  let isComing = false;

  function enter(step: AttemptStep, permit: Permit): void {
    const place = holdPlace(permit);
    try {
      start(step, place);
    } catch (error) {
      place.giveBack();
      throw error;
    }
  }

  function start(step: AttemptStep, place: Place): void {
    let given: GiveUp | undefined;
    let racer: Racer | undefined = undefined;
    const voice = answer.open(step, {
      onFloor() {
        hush();
        for (const other of racers) if (other !== racer) other.attempt.stop('superseded');
      },
      giveUp(reason) {
        given = reason;
        if (racer) callOff(racer.attempt, reason);
      },
    });
    const onLate = guarded(() => {
      if (racer) racer.isLate = true;
      wantsHedge = true;
      callHelp();
    });
    const call = () => begin(step, place, voice.sink, waits ? onLate : undefined);
    const spare = () => {
      place.giveBack();
      answer.spare(voice);
    };
    const line = logged();
    const attempt = line ? startWhenLogged({ logged: line, signal, start: call, spare }) : call();
    racer = { voice, attempt, isLate: false };
    racers.add(racer);
    // It may have spoken before it was known here.
    if (given) callOff(attempt, given);
    if (paused) attempt.pause();
    const entered = racer;
    void attempt.outcome.then(guarded((outcome) => leave(entered, outcome)));
  }

  function begin(
    step: AttemptStep,
    { permit, giveBack }: Place,
    ...rest: [AnswerSink, (() => void) | undefined]
  ): Attempt {
    try {
      return call(step, permit, ...rest);
    } catch (error) {
      onError(error);
      giveBack();
      return failedAttempt(ourFault);
    }
  }

  /** Asks one more where all that are asked are late: after one that failed, or as a hedge. */
  function callHelp(): void {
    const mayAsk = !paused && !isComing && !silence.isOver && !signal.aborted;
    if (!mayAsk || racers.size === 0 || [...racers].some(({ isLate }) => !isLate)) return;
    for (let fault = unanswered.shift(); fault; fault = unanswered.shift()) {
      const step = fallback(fault);
      if (!step) continue;
      come(step, fault);
      return;
    }
    const step = wantsHedge ? hedge() : undefined;
    wantsHedge = false;
    if (step) come(step, 'late');
  }

  /** Starts one more, after its pause and once its target has a place for it. `cause`: what it follows. */
  function come(step: AttemptStep, cause: Fault | 'late'): void {
    isComing = true;
    const still = silence;

    const arrive = guarded((permit: Permit | undefined) => {
      const isWanted = !still.isOver && !signal.aborted;
      if (!isWanted) permit?.cancel();
      if (cause === 'late' && !(permit && isWanted)) spareHedge();
      if (still.isOver) return;
      isComing = false;
      if (permit && isWanted) enter(step, permit);
      // The last of those beside it may have ended in the meantime.
      else if (racers.size === 0) {
        const fault = unanswered.pop() ?? noContinuation;
        settle(signal.aborted ? { kind: 'aborted' } : { kind: 'fault', fault });
      } else refusedBy(step.route, cause);
    });

    const ask = guarded(() => {
      const permit = still.isOver || signal.aborted ? undefined : admit(step);
      if (permit instanceof Promise) permit.then(arrive, refuse);
      else arrive(permit);
    });
    const refuse = (error: unknown) => {
      onError(error);
      arrive(undefined);
    };

    if (step.delayMs === 0) ask();
    else {
      still.pause ??= new AbortController();
      const ends = AbortSignal.any([still.pause.signal, signal]);
      sleep(step.delayMs, undefined, { signal: ends }).then(ask, ask);
    }
  }

  /** Somebody else may take it. One that refuses twice ends that: nobody is asked for ever. */
  function refusedBy(route: Route, cause: Fault | 'late'): void {
    if (!refusers.has(route)) {
      refusers.add(route);
      if (cause === 'late') wantsHedge = true;
      else unanswered.unshift(cause);
    }
    callHelp();
  }

  /** Nobody else comes. */
  function hush(): void {
    silence.isOver = true;
    silence.pause?.abort();
    isComing = false;
  }

  function leave(racer: Racer, outcome: AttemptOutcome): void {
    racers.delete(racer);
    const { voice, attempt } = racer;
    if (outcome.kind === 'aborted') {
      if (handsOver()) answer.handOver(voice, attempt.firstTokenAt);
      else answer.abort(voice, attempt.firstTokenAt);
      // The run ends with the last of them.
      if (racers.size === 0) settle(outcome);
      return;
    }
    const isWhole = answer.ended(voice, outcome, attempt.firstTokenAt);
    if (isWhole) {
      hush();
      for (const other of racers) other.attempt.stop('superseded');
      settle({ kind: 'completed' });
      return;
    }
    const fault = outcome.kind === 'fault' ? outcome.fault : noContinuation;
    if (racers.size > 0 || isComing) {
      unanswered.push(fault);
      callHelp();
    } else settle({ kind: 'fault', fault });
  }

  /** Lets a bug end this run, and nothing else: whoever runs from a timer has nobody to catch it. */
  function guarded<Args extends unknown[]>(act: (...args: Args) => void) {
    return (...args: Args): void => {
      try {
        act(...args);
      } catch (error) {
        onError(error);
        hush();
        if (racers.size === 0) settle({ kind: 'fault', fault: ourFault });
        for (const { attempt } of racers) attempt.stop(ourFault);
      }
    };
  }

  return {
    run(step, permit) {
      return new Promise((resolve) => {
        settle = resolve;
        silence = { isOver: false, pause: undefined };
        unanswered = [];
        wantsHedge = false;
        refusers.clear();
        guarded(enter)(step, permit);
      });
    },
    pause() {
      paused = true;
      for (const { attempt } of racers) attempt.pause();
    },
    resume() {
      paused = false;
      for (const { attempt } of racers) attempt.resume();
      guarded(callHelp)();
    },
    get heldBytes() {
      let bytes = 0;
      for (const { voice, attempt } of racers) bytes += voice.heldChars + attempt.heldBytes;
      return bytes;
    },
  };
}

const callOff = (attempt: Attempt, reason: GiveUp): void =>
  attempt.stop(reason === 'superseded' ? reason : faults[reason]);

const noContinuation: Fault = {
  code: 'no_continuation',
  message: 'The answer broke off, and no other attempt went on with it.',
};

const faults: Record<Exclude<GiveUp, 'superseded'>, Fault> = {
  no_continuation: noContinuation,
  response_too_large: {
    code: 'response_too_large',
    message: 'The answer is larger than this server may keep.',
  },
  upstream_response_too_large: {
    code: 'upstream_response_too_large',
    message: 'The provider sent more of an answer than this server holds before it can be shown.',
  },
};
