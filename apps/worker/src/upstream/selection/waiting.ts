import type { Fault } from '@millrace/shared/domain/fault';
import { paceMs, planWake } from './wake.ts';

export type WaitOutcome =
  /** A target may be asked now; whether it still can when it is, only asking tells. */
  | { kind: 'retry' }
  | { kind: 'aborted' }
  /** The patience is over, or too many wait already. */
  | { kind: 'fault'; fault: Fault };

/** One request's place among those that wait for a target of its model. It keeps it when it has to wait again. */
export type Place = {
  /** Others of its model wait that came before: to ask without waiting would be to push in. */
  readonly isBehind: boolean;
  /** `retryAfterMs`: what the last refusal said to this request, where one did. One wait at a time. */
  wait(retryAfterMs?: number): Promise<WaitOutcome>;
};

export type PlaceOptions = {
  signal: AbortSignal;
  /** Milliseconds that it may wait in all. */
  maxWaitMs: number;
  /** Milliseconds since the epoch. */
  deadlineAt?: number | undefined;
};

export type WaitingOptions = {
  /** Requests that may wait at a time. */
  limit: number;
  now(): number;
  /** Returns what takes it back. */
  setTimer(act: () => void, ms: number): () => void;
  /** When a target of the model may be asked; at or before now when one may, undefined when nobody knows. */
  opensAt(model: string): number | undefined;
};

type Entry = { ticket: number; notBefore: number; end(outcome: WaitOutcome): void };
type Line = { entries: Entry[]; step: number; lookAt: number; cancel(): void };

/**
 * Milliseconds for which a request that one target found too large lets the others of its line go
 * first. Not as long as that target said: another one may take it sooner.
 */
const longestAsideMs = 5000;
/** Milliseconds of the shortest `Retry-After` that a client is told. */
const shortestRetryMs = 1000;

/** Where requests wait while every target of their model is broken or at its limit. */
export function createWaiting({ limit, now, setTimer, opensAt }: WaitingOptions) {
  const lines = new Map<string, Line>();
  let tickets = 0;
  let waiting = 0;

  function look(model: string): void {
    const line = lines.get(model);
    if (!line) return;
    line.cancel();
    const at = now();
    const { entries, step } = line;
    const plan = planWake(entries, { opensAt: opensAt(model), step, now: at });
    line.step = plan.step;
    line.lookAt = Infinity;
    for (const entry of plan.wake) entry.end({ kind: 'retry' });
    if (entries.length > 0) lookAgain(model, line, plan.lookAt);
  }

  function lookAgain(model: string, line: Line, at: number): void {
    if (at >= line.lookAt) return;
    line.cancel();
    line.lookAt = at;
    line.cancel = setTimer(() => look(model), at - now());
  }

  function enter(model: string, entry: Entry, wasWoken: boolean): void {
    const known = lines.get(model);
    const line = known ?? { entries: [], step: 1, lookAt: Infinity, cancel() {} };
    const behind = line.entries.findIndex(({ ticket }) => ticket > entry.ticket);
    line.entries.splice(behind === -1 ? line.entries.length : behind, 0, entry);
    lines.set(model, line);
    waiting += 1;
    // One that was woken and did not get through: the others need not try at once.
    if (wasWoken) line.step = 1;
    // A step has its pace, whoever comes; only the first of a line may find that it need not wait.
    if (!known && !wasWoken) look(model);
    else lookAgain(model, line, Math.max(entry.notBefore, now() + paceMs));
  }

  function leave(model: string, entry: Entry): void {
    const line = lines.get(model);
    const at = line?.entries.indexOf(entry) ?? -1;
    if (!line || at === -1) return;
    line.entries.splice(at, 1);
    waiting -= 1;
    if (line.entries.length > 0) return;
    line.cancel();
    lines.delete(model);
  }

  function unavailable(model: string, notBefore: number): Fault {
    const opens = Math.max(opensAt(model) ?? 0, notBefore) - now();
    return { ...noTarget, retryAfterMs: Math.max(shortestRetryMs, Math.ceil(opens)) };
  }

  function open(model: string, { signal, maxWaitMs, deadlineAt = Infinity }: PlaceOptions): Place {
    const ticket = ++tickets;
    let patienceMs = maxWaitMs;
    let wasWoken = false;

    return {
      get isBehind() {
        return lines.get(model)?.entries.some((entry) => entry.ticket < ticket) ?? false;
      },
      wait(retryAfterMs = 0) {
        const since = now();
        const notBefore = since + retryAfterMs;
        if (signal.aborted) return Promise.resolve({ kind: 'aborted' });
        if (deadlineAt <= since) return Promise.resolve({ kind: 'fault', fault: tooLate });
        if (patienceMs <= 0 || waiting >= limit) {
          return Promise.resolve({ kind: 'fault', fault: unavailable(model, notBefore) });
        }
        return new Promise((resolve) => {
          const entry: Entry = {
            ticket,
            notBefore: since + Math.min(longestAsideMs, retryAfterMs),
            end(outcome) {
              leave(model, entry);
              cancelEnd();
              signal.removeEventListener('abort', onAbort);
              patienceMs -= now() - since;
              wasWoken = outcome.kind === 'retry';
              resolve(outcome);
            },
          };
          const onAbort = (): void => entry.end({ kind: 'aborted' });
          const isDeadline = deadlineAt < since + patienceMs;
          const cancelEnd = setTimer(
            () => {
              const fault = isDeadline ? tooLate : unavailable(model, notBefore);
              entry.end({ kind: 'fault', fault });
            },
            isDeadline ? deadlineAt - since : patienceMs,
          );
          signal.addEventListener('abort', onAbort, { once: true });
          enter(model, entry, wasWoken);
        });
      },
    };
  }

  return {
    open,
    /** A target may have become available. */
    wake(): void {
      // A line that is in the middle of its steps goes on at its pace.
      for (const [model, line] of lines) {
        for (const entry of line.entries) entry.notBefore = 0;
        if (line.step === 1) look(model);
      }
    },
    count: (model?: string): number =>
      model === undefined ? waiting : (lines.get(model)?.entries.length ?? 0),
  };
}

const noTarget: Fault = {
  code: 'no_target_available',
  message: 'No target of the model can be asked now: all are broken or at their limits.',
};

const tooLate: Fault = {
  code: 'deadline_exceeded',
  message: 'The deadline of the request passed while no target could be asked.',
};
