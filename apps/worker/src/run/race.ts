import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Journal } from './journal.ts';
import type { Attempt, AttemptOutcome } from './attempt.ts';
import { failedAttempt, ourFault } from './failed-attempt.ts';
import { startWhenLogged } from './logged-attempt.ts';
import type { Route, NextStep } from '../continuation/plan.ts';
import { holdPermit } from './held-permit.ts';
import type { HeldPermit } from './held-permit.ts';
import type { AnswerSink } from '@millrace/formats/port';
import type { Permit } from '../upstream/target-access.ts';
import type { GiveUpReason, OutputGate } from './output-gate.ts';

export type AttemptStep = Extract<NextStep, { kind: 'attempt' }>;

export type RaceOptions = {
  journal: Journal;
  /** Ends the run: it makes no more calls. */
  signal: AbortSignal;
  /** Whether what the run's stop breaks off is handed to another worker. */
  handsOver(): boolean;
  /**
   * Resolves when the line of the attempt that was opened last is in the log: its call is made then. At once
   * where it is undefined.
   */
  logged(): Promise<void> | undefined;
  /** A place at the step's target; undefined when it takes none now. */
  acquire(step: AttemptStep): Permit | undefined | Promise<Permit | undefined>;
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
  returnHedge(): void;
  /**
   * One attempt failed and the remaining ones are late: the attempt to make beside them, or undefined if no
   * target is left. It costs as much as the same attempt without them.
   */
  fallback(fault: Fault): AttemptStep | undefined;
  /** Late first tokens are waited for, and may be hedged; otherwise they are faults. */
  waits: boolean;
  onError(error: unknown): void;
};

/** How one step ended. */
export type RaceOutcome =
  /** The answer is whole. */
  | { kind: 'completed' }
  /** Every attempt of it failed: the last one's fault. */
  | { kind: 'fault'; fault: Fault }
  /** The run was told to stop. */
  | { kind: 'aborted' };

/** `pause`: ends the pauses before others start, once there is one. */
type RacePhase = { isDecided: boolean; pause: AbortController | undefined };

type Contender = { gate: OutputGate; attempt: Attempt; isLate: boolean };

/**
 * One step of a run: an attempt, and further attempts beside it when its first token is late. The first one with
 * something to show wins, and the race aborts the others. A late attempt may never show anything, so when another
 * one fails, the race goes on to the next strategy as if the late one had failed too.
 */
export type Race = {
  run(step: AttemptStep, permit: Permit): Promise<RaceOutcome>;
  /** The log cannot take more for now, or can again. */
  pause(): void;
  resume(): void;
  /** What its attempts hold back. */
  readonly heldBytes: number;
};

export function createRace(options: RaceOptions): Race {
  const { journal, call, hedge, fallback, waits, handsOver, logged, signal, onError } = options;
  const { acquire, returnHedge } = options;
  const contenders = new Set<Contender>();
  let paused = false;
  let settle: (outcome: RaceOutcome) => void = () => {};
  /** Until the first word. */
  let phase: RacePhase = { isDecided: false, pause: undefined };
  /** Contenders that failed beside others, and that no other attempt has followed yet. */
  let openFaults: Fault[] = [];
  /** Somebody became late since the last hedge. */
  let hedgeIsDue = false;
  /** Targets that took none when they were asked for one. */
  const refusedOnce = new Set<Route>();
  /** One more starts after its pause. */
  let isStarting = false;

  function startContender(step: AttemptStep, permit: Permit): void {
    const held = holdPermit(permit);
    try {
      openContender(step, held);
    } catch (error) {
      held.giveBack();
      throw error;
    }
  }

  function openContender(step: AttemptStep, held: HeldPermit): void {
    let early: GiveUpReason | undefined;
    let contender: Contender | undefined = undefined;
    const gate = journal.open(step, {
      onCommit() {
        decide();
        for (const other of contenders) if (other !== contender) other.attempt.stop('superseded');
      },
      onGiveUp(reason) {
        early = reason;
        if (contender) stopAttempt(contender.attempt, reason);
      },
    });
    const onLate = guarded(() => {
      if (contender) contender.isLate = true;
      hedgeIsDue = true;
      startAnother();
    });
    const call = () => callTarget(step, held, gate.sink, waits ? onLate : undefined);
    const onNotCalled = () => {
      held.giveBack();
      journal.cancelCall(gate);
    };
    const line = logged();
    const attempt = line
      ? startWhenLogged({ logged: line, signal, start: call, onNotCalled })
      : call();
    contender = { gate, attempt, isLate: false };
    contenders.add(contender);
    // It may have spoken before it was known here.
    if (early) stopAttempt(attempt, early);
    if (paused) attempt.pause();
    const current = contender;
    void attempt.outcome.then(guarded((outcome) => onEnded(current, outcome)));
  }

  function callTarget(
    step: AttemptStep,
    { permit, giveBack }: HeldPermit,
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
  function startAnother(): void {
    const mayAsk = !paused && !isStarting && !phase.isDecided && !signal.aborted;
    if (!mayAsk || contenders.size === 0 || [...contenders].some(({ isLate }) => !isLate)) return;
    for (let fault = openFaults.shift(); fault; fault = openFaults.shift()) {
      const step = fallback(fault);
      if (!step) continue;
      schedule(step, fault);
      return;
    }
    const step = hedgeIsDue ? hedge() : undefined;
    hedgeIsDue = false;
    if (step) schedule(step, 'late');
  }

  /** Starts one more, after its pause and once its target has a place for it. `cause`: what it follows. */
  function schedule(step: AttemptStep, cause: Fault | 'late'): void {
    isStarting = true;
    const started = phase;

    const onPermit = guarded((permit: Permit | undefined) => {
      const isNeeded = !started.isDecided && !signal.aborted;
      if (!isNeeded) permit?.cancel();
      if (cause === 'late' && !(permit && isNeeded)) returnHedge();
      if (started.isDecided) return;
      isStarting = false;
      if (permit && isNeeded) startContender(step, permit);
      // The last of those beside it may have ended in the meantime.
      else if (contenders.size === 0) {
        const fault = openFaults.pop() ?? noContinuation;
        settle(signal.aborted ? { kind: 'aborted' } : { kind: 'fault', fault });
      } else onRefused(step.route, cause);
    });

    const request = guarded(() => {
      const permit = started.isDecided || signal.aborted ? undefined : acquire(step);
      if (permit instanceof Promise) permit.then(onPermit, onRequestFailed);
      else onPermit(permit);
    });
    const onRequestFailed = (error: unknown) => {
      onError(error);
      onPermit(undefined);
    };

    if (step.delayMs === 0) request();
    else {
      started.pause ??= new AbortController();
      const ends = AbortSignal.any([started.pause.signal, signal]);
      sleep(step.delayMs, undefined, { signal: ends }).then(request, request);
    }
  }

  /** Somebody else may take it. One that refuses twice ends that: nobody is asked for ever. */
  function onRefused(route: Route, cause: Fault | 'late'): void {
    if (!refusedOnce.has(route)) {
      refusedOnce.add(route);
      if (cause === 'late') hedgeIsDue = true;
      else openFaults.unshift(cause);
    }
    startAnother();
  }

  /** Nobody else comes. */
  function decide(): void {
    phase.isDecided = true;
    phase.pause?.abort();
    isStarting = false;
  }

  function onEnded(contender: Contender, outcome: AttemptOutcome): void {
    contenders.delete(contender);
    const { gate, attempt } = contender;
    if (outcome.kind === 'aborted') {
      if (handsOver()) journal.handOver(gate, attempt.firstTokenAt);
      else journal.abort(gate, attempt.firstTokenAt);
      // The run ends with the last of them.
      if (contenders.size === 0) settle(outcome);
      return;
    }
    const isWhole = journal.ended(gate, outcome, attempt.firstTokenAt);
    if (isWhole) {
      decide();
      for (const other of contenders) other.attempt.stop('superseded');
      settle({ kind: 'completed' });
      return;
    }
    const fault = outcome.kind === 'fault' ? outcome.fault : noContinuation;
    if (contenders.size > 0 || isStarting) {
      openFaults.push(fault);
      startAnother();
    } else settle({ kind: 'fault', fault });
  }

  /** Lets a bug end this run, and nothing else: whoever runs from a timer has nobody to catch it. */
  function guarded<Args extends unknown[]>(act: (...args: Args) => void) {
    return (...args: Args): void => {
      try {
        act(...args);
      } catch (error) {
        onError(error);
        decide();
        if (contenders.size === 0) settle({ kind: 'fault', fault: ourFault });
        for (const { attempt } of contenders) attempt.stop(ourFault);
      }
    };
  }

  return {
    run(step, permit) {
      return new Promise((resolve) => {
        settle = resolve;
        phase = { isDecided: false, pause: undefined };
        openFaults = [];
        hedgeIsDue = false;
        refusedOnce.clear();
        guarded(startContender)(step, permit);
      });
    },
    pause() {
      paused = true;
      for (const { attempt } of contenders) attempt.pause();
    },
    resume() {
      paused = false;
      for (const { attempt } of contenders) attempt.resume();
      guarded(startAnother)();
    },
    get heldBytes() {
      let bytes = 0;
      for (const { gate, attempt } of contenders) bytes += gate.heldChars + attempt.heldBytes;
      return bytes;
    },
  };
}

const stopAttempt = (attempt: Attempt, reason: GiveUpReason): void =>
  attempt.stop(reason === 'superseded' ? reason : faults[reason]);

const noContinuation: Fault = {
  code: 'no_continuation',
  message: 'The answer broke off, and no other attempt went on with it.',
};

const faults: Record<Exclude<GiveUpReason, 'superseded'>, Fault> = {
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
