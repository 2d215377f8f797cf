import { setTimeout as sleep } from 'node:timers/promises';
import type { AnswerSink } from '@millrace/formats/port';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Permit } from '../upstream/target-access.ts';
import type { Attempt, AttemptOutcome } from './attempt.ts';
import { failedAttempt, ourFault } from './failed-attempt.ts';
import { holdPermit } from './held-permit.ts';
import type { HeldPermit } from './held-permit.ts';
import type { Journal } from './journal.ts';
import { startWhenLogged } from './logged-attempt.ts';
import type { GiveUpReason, OutputGate } from './output-gate.ts';
import { newRace, noContinuation, raceStep } from './race-state.ts';
import type { AttemptStep, RaceEffect, RaceEvent, RaceOutcome } from './race-state.ts';

export type { AttemptStep, RaceOutcome } from './race-state.ts';

export type RaceOptions = {
  journal: Journal;
  /** Aborts with the run: no more calls are made. */
  signal: AbortSignal;
  /** Whether attempts that end with the run are handed over to another worker. */
  handsOver(): boolean;
  /**
   * Resolves when the line of the attempt that was opened last is in the log; its call is made then.
   * Undefined: at once.
   */
  logged(): Promise<void> | undefined;
  /** A permit of the step's target; undefined if the target takes no request now. */
  acquire(step: AttemptStep): Permit | undefined | Promise<Permit | undefined>;
  call(
    step: AttemptStep,
    permit: Permit,
    sink: AnswerSink,
    onSlow: (() => void) | undefined,
    /** The number of the attempt in its request. */
    attempt: number,
  ): Attempt;
  /** The first token of an attempt is late: returns the step of a hedge, or undefined if the race only waits. */
  hedge(): AttemptStep | undefined;
  /** The hedge does not start: it costs nothing. */
  returnHedge(): void;
  /**
   * One attempt failed and the remaining ones are late: returns the attempt to make beside them, or undefined
   * if no target is left.
   */
  fallback(fault: Fault): AttemptStep | undefined;
  /** Whether the race waits for a late first token, and may hedge it; otherwise it is a fault. */
  waits: boolean;
  onError(error: unknown): void;
};

type Contender = { id: number; gate: OutputGate; attempt: Attempt };

/**
 * One step of a run: an attempt, and further attempts beside it if its first token is late. The first one
 * with visible output wins, and the race aborts the others. A late attempt may never send anything, so if
 * another one fails, the race takes the next strategy as if the late one had failed too.
 */
export type Race = {
  run(step: AttemptStep, permit: Permit): Promise<RaceOutcome>;
  /** Pauses and resumes reading from all targets, for backpressure. */
  pause(): void;
  resume(): void;
  /** Ends the attempts under way with this fault. */
  breakOff(fault: Fault): void;
  /** An attempt is under way. */
  readonly isRunning: boolean;
  /** Bytes that its attempts hold back. */
  readonly heldBytes: number;
};

/** The races of a run, one after the other. */
export function createRace(options: RaceOptions): Race {
  let current: StepRace | undefined;
  let isPaused = false;
  return {
    run(step, permit) {
      return new Promise((resolve) => {
        current = new StepRace(options, resolve, isPaused);
        current.begin(step, permit);
      });
    },
    pause() {
      isPaused = true;
      current?.pause();
    },
    resume() {
      isPaused = false;
      current?.resume();
    },
    breakOff(fault) {
      current?.breakOff(fault);
    },
    get isRunning() {
      return current?.isRunning ?? false;
    },
    get heldBytes() {
      return current?.heldBytes ?? 0;
    },
  };
}

/** Executes the decisions of the rules in `race-state.ts`. */
class StepRace {
  private readonly options: RaceOptions;
  private readonly settle: (outcome: RaceOutcome) => void;
  private readonly contenders = new Map<number, Contender>();
  private state;
  private opened = 0;
  /** Ends the pauses before further attempts, if there are any. */
  private pauses: AbortController | undefined;

  constructor(options: RaceOptions, settle: (outcome: RaceOutcome) => void, isPaused: boolean) {
    this.options = options;
    this.settle = settle;
    this.state = newRace(isPaused);
  }

  begin(step: AttemptStep, permit: Permit): void {
    this.guard(() => this.start(step, permit));
  }

  pause(): void {
    this.dispatch({ kind: 'paused' });
    for (const { attempt } of this.contenders.values()) attempt.pause();
  }

  resume(): void {
    for (const { attempt } of this.contenders.values()) attempt.resume();
    this.guard(() => this.dispatch({ kind: 'resumed' }));
  }

  breakOff(fault: Fault): void {
    for (const { attempt } of this.contenders.values()) attempt.stop(fault);
  }

  get isRunning(): boolean {
    return this.contenders.size > 0;
  }

  get heldBytes(): number {
    let bytes = 0;
    for (const { gate, attempt } of this.contenders.values()) {
      bytes += gate.heldChars + attempt.heldBytes;
    }
    return bytes;
  }

  private dispatch(event: RaceEvent): void {
    const [state, effects] = raceStep(this.state, event, this.options.signal.aborted);
    this.state = state;
    for (const effect of effects) this.carryOut(effect);
  }

  /** Confines a bug to this run: callbacks of timers and promises have no caller that could catch it. */
  private guard(act: () => void, ended?: number): void {
    try {
      act();
    } catch (error) {
      this.options.onError(error);
      this.dispatch({ kind: 'crashed', ended });
    }
  }

  private carryOut(effect: RaceEffect): void {
    const { hedge, fallback, returnHedge } = this.options;
    switch (effect.kind) {
      case 'plan': {
        const { cause } = effect;
        const step = cause === 'late' ? hedge() : fallback(cause);
        this.dispatch({ kind: 'planned', cause, step });
        return;
      }
      case 'request':
        this.request(effect);
        return;
      case 'start':
        this.start(effect.step, effect.permit);
        return;
      case 'cancel':
        effect.permit.cancel();
        return;
      case 'return_hedge':
        returnHedge();
        return;
      case 'end_pauses':
        this.pauses?.abort();
        return;
      case 'stop':
        for (const { id, attempt } of this.contenders.values()) {
          if (id !== effect.except) attempt.stop(effect.reason);
        }
        return;
      case 'settle':
        this.settle(effect.outcome);
    }
  }

  private request({ step, cause }: Extract<RaceEffect, { kind: 'request' }>): void {
    const { acquire, signal, onError } = this.options;
    const onPermit = (permit: Permit | undefined) =>
      this.guard(() => this.dispatch({ kind: 'permitted', step, cause, permit }));
    const ask = () =>
      this.guard(() => {
        const isOver = this.state.phase === 'decided' || signal.aborted;
        const permit = isOver ? undefined : acquire(step);
        if (!(permit instanceof Promise)) {
          onPermit(permit);
          return;
        }
        permit.then(onPermit, (error: unknown) => {
          onError(error);
          onPermit(undefined);
        });
      });
    if (step.delayMs === 0) {
      ask();
      return;
    }
    this.pauses ??= new AbortController();
    const ends = AbortSignal.any([this.pauses.signal, signal]);
    sleep(step.delayMs, undefined, { signal: ends }).then(ask, ask);
  }

  private start(step: AttemptStep, permit: Permit): void {
    const held = holdPermit(permit);
    try {
      this.open(step, held);
    } catch (error) {
      held.giveBack();
      throw error;
    }
  }

  private open(step: AttemptStep, held: HeldPermit): void {
    const { journal, logged, signal, waits } = this.options;
    const id = ++this.opened;
    let early: GiveUpReason | undefined;
    let attempt: Attempt | undefined = undefined;
    const gate = journal.open(step, {
      onCommit: () => this.dispatch({ kind: 'committed', contender: id }),
      onGiveUp(reason) {
        early = reason;
        if (attempt) stopAttempt(attempt, reason);
      },
    });
    const onLate = () => this.guard(() => this.dispatch({ kind: 'late', contender: id }));
    const number = gate.started.attempt;
    const start = () => this.call(step, held, gate.sink, waits ? onLate : undefined, number);
    const onNotCalled = () => {
      held.giveBack();
      journal.cancelCall(gate);
    };
    const line = logged();
    attempt = line ? startWhenLogged({ logged: line, signal, start, onNotCalled }) : start();
    const contender = { id, gate, attempt };
    this.contenders.set(id, contender);
    this.dispatch({ kind: 'started', contender: id });
    // It may have committed before `call` returned.
    if (early) stopAttempt(attempt, early);
    if (this.state.isPaused) attempt.pause();
    void attempt.outcome.then((outcome) => this.guard(() => this.onEnded(contender, outcome), id));
  }

  private call(
    step: AttemptStep,
    { permit, giveBack }: HeldPermit,
    ...rest: [AnswerSink, (() => void) | undefined, number]
  ): Attempt {
    try {
      return this.options.call(step, permit, ...rest);
    } catch (error) {
      this.options.onError(error);
      giveBack();
      return failedAttempt(ourFault);
    }
  }

  private onEnded({ id, gate, attempt }: Contender, outcome: AttemptOutcome): void {
    const { journal, handsOver } = this.options;
    this.contenders.delete(id);
    if (outcome.kind === 'aborted') {
      if (handsOver()) journal.handOver(gate, attempt.firstTokenAt);
      else journal.abort(gate, attempt.firstTokenAt);
      this.dispatch({ kind: 'aborted', contender: id });
    } else if (journal.ended(gate, outcome, attempt.firstTokenAt)) {
      this.dispatch({ kind: 'completed', contender: id });
    } else {
      const fault = outcome.kind === 'fault' ? outcome.fault : noContinuation;
      this.dispatch({ kind: 'failed', contender: id, fault });
    }
  }
}

const stopAttempt = (attempt: Attempt, reason: GiveUpReason): void =>
  attempt.stop(reason === 'superseded' ? reason : faults[reason]);

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
