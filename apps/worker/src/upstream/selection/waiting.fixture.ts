import type { Fault } from '@millrace/shared/domain/fault';
import { createClock } from './clock.fixture.ts';
import type { TargetWaiterOptions, WaitOutcome, WaitRequest } from './waiter.ts';
import { unlimitedWaits } from './wait-limits.fixture.ts';
import type { WaitLimits } from './port.ts';
import { createWaiting } from './waiting.ts';

export const target = (model: string) => ({ provider: 'p', model });
export const wanting = (...models: string[]) => ({
  wants: models.map((model) => ({ target: target(model), notBefore: 0 })),
});

/** Requests that wait for targets which a test opens and shuts. */
export function setUp({
  limit = 100,
  lines = unlimitedWaits,
}: { limit?: number; lines?: WaitLimits } = {}) {
  const clock = createClock();
  /** Milliseconds since the epoch, by target; undefined: not known. */
  const opens = new Map<string, number | undefined>();
  /** The targets that recover: the samples that are drawn for them, and the end of their step. */
  const samples = new Map<string, { until: number; draw(): boolean }>();
  /** The targets whose provider is at its limit, and what it said. */
  const limits = new Map<string, Fault>();
  const broken = new Set<string>();
  const waiting = createWaiting({
    limit,
    waitLimits: lines,
    now: clock.now,
    setTimer: clock.setTimer,
    may(_model, { model }, sample) {
      const coming = samples.get(model);
      const at = coming ? coming.until : (opens.get(model) ?? Infinity);
      const isOpen = coming ? sample === 'admitted' || coming.draw() : at <= clock.now();
      const why = broken.has(model) ? 'broken' : 'limited';
      return isOpen ? { kind: 'yes' } : { kind: 'no', until: at, why };
    },
    causeOf: ({ model }) => (broken.has(model) ? 'broken' : 'own_limit'),
    limitOf: ({ model }) => limits.get(model),
    sampleUntil: (_model, { model }) => samples.get(model)?.until,
  });
  const log: string[] = [];
  /** Waits for `m`, where nothing else is said. */
  function join(
    name: string,
    {
      request = wanting('m'),
      ...options
    }: Partial<TargetWaiterOptions & { request: WaitRequest }> = {},
    model = 'm',
  ) {
    const waiter = waiting.open(model, {
      signal: new AbortController().signal,
      maxWaitMs: 30_000,
      ...options,
    });
    const wait = (more: Partial<WaitRequest> = {}) => {
      const outcome = waiter.wait({ ...request, ...more });
      void outcome.then(({ kind }) => log.push(`${name} ${kind}`));
      return outcome;
    };
    return { waiter, wait, outcome: wait() };
  }
  const closeFor = (ms: number, model = 'm') => opens.set(model, clock.now() + ms);
  return { clock, waiting, opens, samples, limits, broken, log, join, closeFor };
}

export const fault = (outcome: WaitOutcome) =>
  outcome.kind === 'fault' ? outcome.fault : undefined;
