import type { Fault } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';
import { targetKey } from '@millrace/shared/domain/target-key';

/* The faults of requests that waited for a target, and why a target could not be asked. */

/** Why a target takes no request now; `free`: it would take one, but not this one. */
export type Cause = 'held' | 'broken' | 'provider_limit' | 'own_limit' | 'no_connection' | 'free';

const words: Readonly<Record<Cause, string>> = {
  held: "is out of service by an operator's order",
  broken: 'is broken (its breaker is not closed)',
  provider_limit: "is at the provider's limit",
  own_limit: 'is at its limit of requests or tokens',
  no_connection: 'has no free connection',
  free: 'refused this request',
};

/** Targets that a text names. */
const maxNamed = 5;

/** `a/x is broken (…), b/y is at the provider's limit and 2 more`. Clients know the names from `attempt` events. */
export function whyShut(targets: readonly Target[], causeOf: (target: Target) => Cause): string {
  const named = targets.slice(0, maxNamed);
  const texts = named.map((target) => `${targetKey(target)} ${words[causeOf(target)]}`);
  const more = targets.length - named.length;
  return more > 0 ? `${texts.join(', ')}, and ${more} more` : texts.join(', ');
}

export const noTarget = (why: string): Fault => ({
  code: 'no_target_available',
  message: `No target of the model can be asked now: ${why}.`,
});

export const tooLate = (why: string): Fault => ({
  code: 'deadline_exceeded',
  message: `The deadline of the request passed while no target could be asked: ${why}.`,
});
