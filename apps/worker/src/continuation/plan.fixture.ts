import type { AttemptMode, Entry } from '@millrace/shared/domain/entry';
import type { Fault, FaultCode } from '@millrace/shared/domain/fault';
import { ended, fault, historyOf, plainTraits, started } from './history.fixture.ts';
import { applyEntry } from './history.ts';
import type { Route, PlanInput, NextStep } from './plan.ts';
import { planNext } from './plan.ts';

export const primary: Route = { provider: 'primary', model: 'gpt-4o', prefill: false };
export const backup: Route = { provider: 'backup', model: 'claude', prefill: false };
export const third: Route = { provider: 'third', model: 'mistral', prefill: true };

export const decide = (situation: Partial<PlanInput> = {}): NextStep =>
  planNext({
    routes: [primary, backup],
    reader: 'plain',
    traits: plainTraits,
    continuation: 'auto',
    history: historyOf(),
    fault: undefined,
    timeoutMs: 600_000,
    now: 5000,
    random: 0.5,
    ...situation,
  });

/** What an attempt comes to: a fault, or lines and then a fault, after its first token or before it. */
export type Event =
  | FaultCode
  | Fault
  | { lines: (attempt: number) => Entry[]; code: FaultCode; firstTokenAt?: number };

/** It began to answer and broke off, and nothing of it was shown. */
export const beforeSeam = (code: FaultCode): Event => ({
  lines: () => [],
  code,
  firstTokenAt: 1500,
});

/**
 * Makes the steps that `next` says, each with the next of the events, until it ends or no event is
 * left: `primary start`, `backup replay +400`, …, and the last step's own word.
 */
export function stepsOf(situation: Partial<PlanInput>, events: Event[]): string[] {
  const given = situation.history ?? historyOf();
  const history = { ...structuredClone(given), times: given.times.copy() };
  const steps: string[] = [];
  let failed: Fault | undefined = situation.fault;
  for (const event of [...events, undefined]) {
    const step = decide({ ...situation, history, fault: failed });
    if (step.kind === 'fail') return [...steps, `fail ${step.failed.error.code}`];
    if (step.kind === 'complete') return [...steps, 'complete'];
    steps.push(stepName(step));
    if (event === undefined) break;
    const attempt = history.attempts.length + 1;
    if (step.mode === 'restart')
      applyEntry(history, { kind: 'reset', data: { reason: 'restart' } });
    applyEntry(history, started(attempt, step.route, step.mode));
    const lines = typeof event === 'object' && 'lines' in event ? event.lines(attempt) : [];
    for (const line of lines) applyEntry(history, line);
    failed = toFault(event);
    const firstTokenAt =
      typeof event === 'object' && 'lines' in event ? event.firstTokenAt : undefined;
    applyEntry(history, ended(attempt, failed.code, firstTokenAt));
  }
  return steps;
}

function toFault(event: Event): Fault {
  if (typeof event === 'string') return fault(event);
  return 'lines' in event ? fault(event.code) : event;
}

const stepName = ({ route, mode, delayMs }: { route: Route; mode: AttemptMode; delayMs: number }) =>
  `${route.provider} ${mode}${delayMs > 0 ? ` +${delayMs}` : ''}`;
