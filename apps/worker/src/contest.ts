import type { Fault } from '@millrace/shared/domain/fault';
import type { Answer } from './answer.ts';
import type { Attempt, AttemptOutcome } from './attempt.ts';
import type { Step } from './failover/next.ts';
import type { AnswerSink } from './provider/port.ts';
import type { GiveUp, Voice } from './voice.ts';

export type AttemptStep = Extract<Step, { kind: 'attempt' }>;

export type ContestOptions = {
  answer: Answer;
  /** Whether what the run's stop breaks off is handed to another worker. */
  handsOver(): boolean;
  call(step: AttemptStep, sink: AnswerSink, onSlow: (() => void) | undefined): Attempt;
  /**
   * The first token of an attempt is late: the step of another that starts beside it, or undefined
   * when it is only waited for.
   */
  hedge(): AttemptStep | undefined;
  /** Late first tokens are waited for, and may be hedged; otherwise they are faults. */
  waits: boolean;
};

/** How one step of the ladder ended. */
export type ContestOutcome =
  /** The answer is whole. */
  | { kind: 'completed' }
  /** Every attempt of it failed: the last one's fault. */
  | { kind: 'fault'; fault: Fault }
  /** The run was told to stop. */
  | { kind: 'aborted' };

type Racer = { voice: Voice; attempt: Attempt };

/**
 * One step of the ladder: an attempt, and beside it another one when its first token is late. Whoever
 * speaks first has the floor, and the other is called off.
 */
export type Contest = {
  run(step: AttemptStep): Promise<ContestOutcome>;
  /** The log cannot take more for now, or can again. */
  pause(): void;
  resume(): void;
};

export function createContest(options: ContestOptions): Contest {
  const { answer, call, hedge, waits, handsOver } = options;
  const racers = new Set<Racer>();
  let settle: (outcome: ContestOutcome) => void = () => {};

  function enter(step: AttemptStep): void {
    let given: GiveUp | undefined;
    let racer: Racer | undefined = undefined;
    const voice = answer.open(step, {
      onFloor() {
        for (const other of racers) if (other !== racer) other.attempt.stop('superseded');
      },
      giveUp(reason) {
        given = reason;
        if (racer) callOff(racer.attempt, reason);
      },
    });
    const attempt = call(step, voice.sink, waits ? late : undefined);
    racer = { voice, attempt };
    racers.add(racer);
    // It may have spoken before it was known here.
    if (given) callOff(attempt, given);
    const entered = racer;
    void attempt.outcome.then((outcome) => leave(entered, outcome));
  }

  function late(): void {
    const step = hedge();
    if (step) enter(step);
  }

  function leave(racer: Racer, outcome: AttemptOutcome): void {
    racers.delete(racer);
    if (outcome.kind === 'aborted') {
      if (handsOver()) answer.handOver(racer.voice, racer.attempt.firstTokenAt);
      else answer.abort(racer.voice, racer.attempt.firstTokenAt);
      // The run ends with the last of them.
      if (racers.size === 0) settle(outcome);
      return;
    }
    const isWhole = answer.ended(racer.voice, outcome, racer.attempt.firstTokenAt);
    if (isWhole) {
      for (const other of racers) other.attempt.stop('superseded');
      settle({ kind: 'completed' });
    } else if (racers.size === 0) {
      settle({ kind: 'fault', fault: outcome.kind === 'fault' ? outcome.fault : noContinuation });
    }
  }

  return {
    run(step) {
      return new Promise((resolve) => {
        settle = resolve;
        enter(step);
      });
    },
    pause() {
      for (const { attempt } of racers) attempt.pause();
    },
    resume() {
      for (const { attempt } of racers) attempt.resume();
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
  upstream_response_too_large: {
    code: 'upstream_response_too_large',
    message: 'The provider sent more than may be held back of an answer.',
  },
};
