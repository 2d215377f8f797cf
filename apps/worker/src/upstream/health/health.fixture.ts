import type { BreakerConfig } from '@millrace/shared/config';
import type { Fault, FaultCode } from '@millrace/shared/domain/fault';
import { createMemoryGossip } from '@millrace/shared/store/gossip/memory-gossip';
import { onTestFinished, vi } from 'vitest';
import { policy as defaults } from './breaker.fixture.ts';
import { createHealth } from './health.ts';
import type { Change, Health } from './port.ts';

export const target = { provider: 'openai', model: 'gpt-4o' };

export const fault = (code: FaultCode, rest: Partial<Fault> = {}) =>
  ({ kind: 'fault', fault: { code, message: 'no', ...rest } }) as const;

export type Member = {
  health: Health;
  changes: Change[];
  errors: unknown[];
  /** Its process stood still a moment ago, or did not. */
  wasLate(is: boolean): void;
};

/** Workers on one memory fleet, on a clock that the test moves. */
export function startMembers(rules: Partial<BreakerConfig> = {}) {
  vi.useFakeTimers({ now: 1_800_000_000_000 });
  const fleet = createMemoryGossip();
  const policy = { ...defaults, ...rules };
  /** The keys of the targets that an operator has opened. */
  const held = new Set<string>();
  const holds = {
    get: (key: string) => (held.has(key) ? { by: 'ops', at: 0 } : undefined),
    get keys() {
      return [...held];
    },
    onChange: () => {},
  };
  onTestFinished(() => {
    vi.useRealTimers();
  });

  /** `random`: 0 unless said otherwise, so that nothing is refused by its share and no time is stretched. */
  async function join(
    worker: string,
    breaker: BreakerConfig | undefined = policy,
    random = 0,
    now = () => Date.now(),
  ) {
    const changes: Change[] = [];
    const errors: unknown[] = [];
    let isLate = false;
    const health = createHealth({
      bus: fleet.join(worker),
      worker,
      breakerOf: (provider) => (provider === 'openai' ? breaker : undefined),
      now,
      random: () => random,
      wasLate: () => isLate,
      holds,
      onChange: (change) => changes.push(change),
      onError: (error) => errors.push(error),
    });
    onTestFinished(() => health.close());
    await pass(1);
    return { health, changes, errors, wasLate: (is: boolean) => void (isLate = is) };
  }

  return { fleet, policy, held, join };
}

export const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** Calls that fail, one after the other. */
export function fail({ health }: Member, times: number, rest: Partial<Fault> = {}): void {
  for (let i = 0; i < times; i++) {
    health.started(target)(fault('upstream_server_error', rest));
  }
}

export function succeed({ health }: Member, times: number): void {
  for (let i = 0; i < times; i++) health.started(target)({ kind: 'ok', firstTokenMs: 100 });
}

export const statesOf = (...members: Member[]) =>
  members.map(({ health }) => health.stateOf(target));
