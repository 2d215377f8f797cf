import { isDeepStrictEqual } from 'node:util';
import type { CheckConfig } from '@millrace/shared/config';
import { faultTable } from '@millrace/shared/domain/fault';
import type { Fault, FaultCode } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';
import type { Gossip } from '@millrace/shared/store/gossip/port';
import type { Health } from './port.ts';

export type CheckedProvider = {
  name: string;
  check: CheckConfig;
  /** The targets of the config. */
  targets: readonly Target[];
};

export type Question =
  /** GET <baseUrl>/models. */
  | { kind: 'models'; provider: string }
  /** A completion of one token. */
  | { kind: 'prompt'; target: Target };

export type Answer = { kind: 'ok' } | { kind: 'fault'; fault: Fault };

export type ChecksOptions = {
  fleet: Gossip;
  health: Pick<Health, 'admit' | 'claimProbe' | 'started' | 'checked' | 'stateOf' | 'isHeld'>;
  providers: readonly CheckedProvider[];
  /** Makes the check's request; the signal aborts it. */
  ask(question: Question, signal: AbortSignal): Promise<Answer>;
  /** Whether this process was blocked recently: what it observed then says nothing about others. */
  wasLate(): boolean;
  /** Called when a check of a provider's list, or of one of its models, begins to fail or succeeds again. */
  onChange?: ((change: CheckChange) => void) | undefined;
  onError: (error: unknown) => void;
};

export type CheckChange = {
  provider: string;
  /** Undefined for the provider's list of models. */
  model?: string;
  /** The cause; undefined if the check succeeds again. */
  fault: Fault | undefined;
};

export type Checks = {
  /** Counts of this worker since its start. */
  counters(): { ok: number; failed: number };
  /** The same by target, for all that were checked. */
  byTarget(): readonly (Target & { ok: number; failed: number })[];
  /**
   * Whether the last check failed, for every target that this worker checks and no operator has opened; empty while another
   * worker checks. A check of a provider's list of models stands for all of its targets.
   */
  failing(): readonly (Target & { isFailing: boolean })[];
  /** Checks these from now on. What is known of those that stay is kept. */
  replace(providers: readonly CheckedProvider[]): void;
  close(): void;
};

const lease = 'checks';
/** Milliseconds after which the lease of a dead checker expires, and between two renewals. */
const leaseMs = 3000;
const renewMs = 1000;

type CheckedProviderState = CheckedProvider & {
  /** When the last check began; by `performance.now()`. */
  askedAt: number;
  /** Targets whose last check failed. */
  failed: Set<Target>;
  /** Counts the prompts; selects the next target. */
  turn: number;
  timer: NodeJS.Timeout | undefined;
  asking: AbortController | undefined;
  /** A reload of the config has removed or changed it. */
  isReplaced: boolean;
};

/**
 * Checks providers actively, so that the failure of an idle one is known before the next request. One worker
 * does it for the whole fleet; during an outage of Redis no worker does, and no request arrives.
 */
export function startChecks({
  fleet,
  health,
  providers,
  ask,
  wasLate,
  onChange,
  onError,
}: ChecksOptions): Checks {
  const counters = { ok: 0, failed: 0 };
  let checkedProviders = statesOf(providers);
  const told = new Map<Target, Target & { ok: number; failed: number }>();
  let closed = false;
  let renewing = false;
  /** After this time another worker may hold the lease; by `performance.now()`. */
  let leadsUntil = -Infinity;

  async function renew(): Promise<void> {
    if (renewing) return;
    renewing = true;
    try {
      const askedAt = performance.now();
      const leads = (await fleet.claim(lease, leaseMs)) === 'claimed';
      leadsUntil = leads ? askedAt + leaseMs : -Infinity;
      // Also if this worker held the lease before: a target that has failed meanwhile makes the next check
      // due sooner.
      for (const provider of checkedProviders)
        if (leads && !closed) arm(provider);
        else rest(provider);
      if (closed && leads) await fleet.release(lease);
    } finally {
      renewing = false;
    }
  }

  function arm(provider: CheckedProviderState): void {
    clearTimeout(provider.timer);
    if (provider.asking) return;
    const { check, askedAt, failed, targets } = provider;
    const isUnhealthy = targets.some(
      (target) =>
        !health.isHeld(target) && (failed.has(target) || health.stateOf(target) !== 'closed'),
    );
    const dueAt = askedAt + (isUnhealthy ? check.unhealthyIntervalMs : check.intervalMs);
    const waitMs = Math.max(0, dueAt - performance.now());
    provider.timer = setTimeout(() => void checkProvider(provider), waitMs);
  }

  function rest(provider: CheckedProviderState): void {
    clearTimeout(provider.timer);
    provider.asking?.abort();
  }

  async function checkProvider(provider: CheckedProviderState): Promise<void> {
    // After the process was blocked, a timer may run before it learns that its lease has expired; the next
    // renewal sets the timers again.
    if (performance.now() > leadsUntil) return;
    if (provider.targets.every(health.isHeld)) return;
    const asking = new AbortController();
    provider.asking = asking;
    provider.askedAt = performance.now();
    try {
      if (provider.check.kind === 'models') await look(provider, asking);
      else await prompt(provider, asking);
    } catch (error) {
      onError(error);
    } finally {
      provider.asking = undefined;
      const isDismissed = asking.signal.aborted && asking.signal.reason !== tooLate;
      if (!isDismissed && !closed && !provider.isReplaced) arm(provider);
    }
  }

  async function look(provider: CheckedProviderState, asking: AbortController): Promise<void> {
    const answer = await put({ kind: 'models', provider: provider.name }, provider, asking);
    if (!answer) return;
    const wasUnhealthy = provider.failed.size > 0;
    const fault = isListFailure(answer) ? answer.fault : undefined;
    recordResult(provider, provider.targets, fault);
    if (wasUnhealthy !== (fault !== undefined)) onChange?.({ provider: provider.name, fault });
  }

  /** Prompts a target that waits for a probe; otherwise the targets in turn. */
  async function prompt(provider: CheckedProviderState, asking: AbortController): Promise<void> {
    const waiting = provider.targets.find((target) => health.admit(target) === 'ask');
    if (waiting) {
      if (!(await health.claimProbe(waiting))) return;
      const ended = health.started(waiting);
      let answer: Answer | undefined;
      try {
        answer = await put({ kind: 'prompt', target: waiting }, provider, asking);
      } finally {
        ended(!answer || isAboutKey(answer) ? { kind: 'void' } : answer);
      }
      if (answer && !isAboutKey(answer)) recordProbe(provider, waiting, faultOfPrompt(answer));
      return;
    }
    const asked = provider.targets.filter((target) => health.admit(target) === 'yes');
    provider.turn += 1;
    const target = asked[provider.turn % asked.length];
    if (!target) return;
    const answer = await put({ kind: 'prompt', target }, provider, asking);
    // The result says nothing about the provider's other targets and keys.
    if (answer && !isAboutKey(answer)) {
      const wasUnhealthy = provider.failed.has(target);
      const fault = faultOfPrompt(answer);
      recordResult(provider, [target], fault);
      announce(provider, target, wasUnhealthy, fault);
    }
  }

  /** Undefined if this worker no longer holds the lease, or cannot judge the result. */
  async function put(
    question: Question,
    { check }: CheckedProviderState,
    asking: AbortController,
  ): Promise<Answer | undefined> {
    const { signal } = asking;
    const patience = setTimeout(() => asking.abort(tooLate), check.timeoutMs);
    const given = new Promise<undefined>((resolve) => {
      signal.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    /** The verdict on an answer, or on its absence when the time is over. */
    const verdict = (said?: Answer): Answer | undefined => {
      const answer = signal.aborted ? (signal.reason === tooLate ? tooLate : undefined) : said;
      return answer?.kind === 'fault' && wasLate() ? undefined : answer;
    };
    try {
      return verdict(await Promise.race([ask(question, signal), given]));
    } catch (error) {
      // An error after the abort does not matter.
      if (signal.aborted) return verdict();
      throw error;
    } finally {
      clearTimeout(patience);
    }
  }

  /** Records the result of one check for the targets that it covers. */
  function recordResult(
    provider: CheckedProviderState,
    targets: readonly Target[],
    fault: Fault | undefined,
  ): void {
    const end = fault ? 'failed' : 'ok';
    counters[end] += 1;
    for (const target of targets) {
      note(provider, target, fault !== undefined);
      countOf(target)[end] += 1;
      health.checked(target, end, fault);
    }
  }

  /** Records a check that was a probe: the breaker has its result as that of a call. */
  function recordProbe(
    provider: CheckedProviderState,
    target: Target,
    fault: Fault | undefined,
  ): void {
    const wasUnhealthy = provider.failed.has(target);
    note(provider, target, fault !== undefined);
    announce(provider, target, wasUnhealthy, fault);
  }

  function announce(
    { name }: CheckedProviderState,
    { model }: Target,
    wasUnhealthy: boolean,
    fault: Fault | undefined,
  ): void {
    if (wasUnhealthy !== (fault !== undefined)) onChange?.({ provider: name, model, fault });
  }

  function countOf(target: Target) {
    let count = told.get(target);
    if (!count) told.set(target, (count = { ...target, ok: 0, failed: 0 }));
    return count;
  }

  function note({ failed }: CheckedProviderState, target: Target, hasFailed: boolean): void {
    if (hasFailed) failed.add(target);
    else failed.delete(target);
  }

  const timer = setInterval(() => void renew().catch(onError), renewMs);
  void renew().catch(onError);

  return {
    counters: () => ({ ...counters }),
    byTarget: () => [...told.values()],
    failing: () =>
      performance.now() > leadsUntil
        ? []
        : checkedProviders.flatMap(({ targets, failed }) =>
            targets
              .filter((target) => !health.isHeld(target))
              .map((target) => ({ ...target, isFailing: failed.has(target) })),
          ),
    replace(next) {
      const states = statesOf(next).map(
        (one) => checkedProviders.find((other) => isSame(one, other)) ?? one,
      );
      for (const one of checkedProviders) {
        if (states.includes(one)) continue;
        one.isReplaced = true;
        rest(one);
        for (const target of one.targets) told.delete(target);
      }
      checkedProviders = states;
    },
    close() {
      closed = true;
      clearInterval(timer);
      for (const provider of checkedProviders) rest(provider);
      void fleet.release(lease);
    },
  };
}

const neverAsked = {
  askedAt: -Infinity,
  turn: -1,
  timer: undefined,
  asking: undefined,
  isReplaced: false,
};

const statesOf = (providers: readonly CheckedProvider[]): readonly CheckedProviderState[] =>
  providers
    .filter(({ check, targets }) => check.kind !== 'off' && targets.length > 0)
    .map((provider) => ({ ...provider, ...neverAsked, failed: new Set() }));

const isSame = (one: CheckedProvider, other: CheckedProvider): boolean =>
  one.name === other.name &&
  isDeepStrictEqual([one.check, one.targets], [other.check, other.targets]);

const tooLate: Answer = {
  kind: 'fault',
  fault: { code: 'upstream_timeout', message: 'The provider did not answer a check in time.' },
};

/**
 * A rejected list of models (no permission, no such page, too many requests) still shows that the provider
 * answers.
 */
const isListFailure = (answer: Answer): answer is Extract<Answer, { kind: 'fault' }> =>
  isPromptFailure(answer) && (answer.fault.httpStatus ?? 500) >= 500;

const isPromptFailure = (answer: Answer): answer is Extract<Answer, { kind: 'fault' }> =>
  answer.kind === 'fault' && faultTable[answer.fault.code].health;

const faultOfPrompt = (answer: Answer): Fault | undefined =>
  isPromptFailure(answer) ? answer.fault : undefined;

/** A check uses the first key only: a fault of that key says nothing about the others. */
const isAboutKey = (answer: Answer): boolean =>
  answer.kind === 'fault' && keyFaults.has(answer.fault.code);

const keyFaults: ReadonlySet<string> = new Set<FaultCode>([
  'upstream_rate_limited',
  'upstream_quota_exceeded',
  'upstream_auth_failed',
]);
