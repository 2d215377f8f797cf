import type { CheckConfig } from '@millrace/shared/config';
import { faultTable } from '@millrace/shared/domain/fault';
import type { Fault, FaultCode } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';
import type { Gossip } from '@millrace/shared/store/gossip/port';
import type { Health } from './port.ts';

export type CheckedProvider = {
  name: string;
  check: CheckConfig;
  /** Those of the config. */
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
  health: Pick<Health, 'admit' | 'claimProbe' | 'started' | 'checked' | 'stateOf'>;
  providers: readonly CheckedProvider[];
  /** Asks, until the signal ends it. */
  ask(question: Question, signal: AbortSignal): Promise<Answer>;
  /** This process stood still a moment ago: what it saw of others meanwhile says nothing of them. */
  wasLate(): boolean;
  /** A check of a provider's list, or of one of its models, fails from now on, or does so no more. */
  onChange?: ((change: CheckChange) => void) | undefined;
  onError: (error: unknown) => void;
};

export type CheckChange = {
  provider: string;
  /** Undefined: of the provider's list of models. */
  model?: string;
  /** Why; undefined where it is well again. */
  fault: Fault | undefined;
};

export type Checks = {
  /** Since the start, by this worker. */
  counters(): { ok: number; failed: number };
  /** For each target that a check told about. */
  byTarget(): readonly (Target & { ok: number; failed: number })[];
  close(): void;
};

const lease = 'checks';
/** Milliseconds that the lease outlives a checker that died, and between two renewals. */
const leaseMs = 3000;
const renewMs = 1000;

type Patient = CheckedProvider & {
  /** Of the last check; on `performance.now()`'s clock. */
  askedAt: number;
  /** Those whose last check failed. */
  failed: Set<Target>;
  /** Whose turn it is to be prompted. */
  turn: number;
  timer: NodeJS.Timeout | undefined;
  asking: AbortController | undefined;
};

/**
 * Asks providers how they are, so that an idle one's death is known before the next request. One worker
 * does it for the whole fleet; while nothing shared can be reached nobody does, and no request comes.
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
  const patients = providers
    .filter(({ check, targets }) => check.kind !== 'off' && targets.length > 0)
    .map((provider): Patient => ({ ...provider, ...neverAsked, failed: new Set() }));
  const told = new Map<Target, Target & { ok: number; failed: number }>();
  let closed = false;
  let renewing = false;
  /** After that another worker may have the lease; on `performance.now()`'s clock. */
  let leadsUntil = -Infinity;

  async function renew(): Promise<void> {
    if (renewing) return;
    renewing = true;
    try {
      const askedAt = performance.now();
      const leads = (await fleet.claim(lease, leaseMs)) === 'claimed';
      leadsUntil = leads ? askedAt + leaseMs : -Infinity;
      // Also for one that leads already: a target that broke meanwhile makes the next check due sooner.
      for (const patient of patients)
        if (leads && !closed) arm(patient);
        else rest(patient);
      if (closed && leads) await fleet.release(lease);
    } finally {
      renewing = false;
    }
  }

  function arm(patient: Patient): void {
    clearTimeout(patient.timer);
    if (patient.asking) return;
    const { check, askedAt, failed, targets } = patient;
    const isIll = failed.size > 0 || targets.some((target) => health.stateOf(target) !== 'closed');
    const dueAt = askedAt + (isIll ? check.unhealthyIntervalMs : check.intervalMs);
    const waitMs = Math.max(0, dueAt - performance.now());
    patient.timer = setTimeout(() => void examine(patient), waitMs);
  }

  function rest(patient: Patient): void {
    clearTimeout(patient.timer);
    patient.asking?.abort();
  }

  async function examine(patient: Patient): Promise<void> {
    // A process that stood still has its timers run before it learns of that; the next renewal arms them.
    if (performance.now() > leadsUntil) return;
    const asking = new AbortController();
    patient.asking = asking;
    patient.askedAt = performance.now();
    try {
      if (patient.check.kind === 'models') await look(patient, asking);
      else await prompt(patient, asking);
    } catch (error) {
      onError(error);
    } finally {
      patient.asking = undefined;
      const isDismissed = asking.signal.aborted && asking.signal.reason !== tooLate;
      if (!isDismissed && !closed) arm(patient);
    }
  }

  async function look(patient: Patient, asking: AbortController): Promise<void> {
    const answer = await put({ kind: 'models', provider: patient.name }, patient, asking);
    if (!answer) return;
    const wasIll = patient.failed.size > 0;
    const fault = isListFailure(answer) ? answer.fault : undefined;
    tell(patient, patient.targets, fault);
    if (wasIll !== (fault !== undefined)) onChange?.({ provider: patient.name, fault });
  }

  /** A target that waits for a probe gets it; else it is one's turn after the other. */
  async function prompt(patient: Patient, asking: AbortController): Promise<void> {
    const waiting = patient.targets.find((target) => health.admit(target) === 'ask');
    if (waiting) {
      if (!(await health.claimProbe(waiting))) return;
      const ended = health.started(waiting);
      let answer: Answer | undefined;
      try {
        answer = await put({ kind: 'prompt', target: waiting }, patient, asking);
      } finally {
        ended(!answer || isAboutKey(answer) ? { kind: 'void' } : answer);
      }
      if (answer && !isAboutKey(answer)) noteOne(patient, waiting, faultOfPrompt(answer));
      return;
    }
    const asked = patient.targets.filter((target) => health.admit(target) === 'yes');
    patient.turn += 1;
    const target = asked[patient.turn % asked.length];
    if (!target) return;
    const answer = await put({ kind: 'prompt', target }, patient, asking);
    // Its other targets were not asked, and other keys neither.
    if (answer && !isAboutKey(answer)) {
      const wasIll = patient.failed.has(target);
      const fault = faultOfPrompt(answer);
      tell(patient, [target], fault);
      announce(patient, target, wasIll, fault);
    }
  }

  /** Undefined when this worker is no longer the one to ask, or is no judge of what it saw. */
  async function put(
    question: Question,
    { check }: Patient,
    asking: AbortController,
  ): Promise<Answer | undefined> {
    const { signal } = asking;
    const patience = setTimeout(() => asking.abort(tooLate), check.timeoutMs);
    const given = new Promise<undefined>((resolve) => {
      signal.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    /** Of an answer that came, or of none where the time for it is over. */
    const verdict = (said?: Answer): Answer | undefined => {
      const answer = signal.aborted ? (signal.reason === tooLate ? tooLate : undefined) : said;
      return answer?.kind === 'fault' && wasLate() ? undefined : answer;
    };
    try {
      return verdict(await Promise.race([ask(question, signal), given]));
    } catch (error) {
      // What it does at the end of its time is its own business.
      if (signal.aborted) return verdict();
      throw error;
    } finally {
      clearTimeout(patience);
    }
  }

  /** One check ended, and says this of these. */
  function tell(patient: Patient, targets: readonly Target[], fault: Fault | undefined): void {
    const end = fault ? 'failed' : 'ok';
    counters[end] += 1;
    for (const target of targets) {
      note(patient, target, fault !== undefined);
      countOf(target)[end] += 1;
      health.checked(target, end, fault);
    }
  }

  /** A check that was a probe, of which the breaker has heard as of a call. */
  function noteOne(patient: Patient, target: Target, fault: Fault | undefined): void {
    const wasIll = patient.failed.has(target);
    note(patient, target, fault !== undefined);
    announce(patient, target, wasIll, fault);
  }

  function announce(
    { name }: Patient,
    { model }: Target,
    wasIll: boolean,
    fault: Fault | undefined,
  ): void {
    if (wasIll !== (fault !== undefined)) onChange?.({ provider: name, model, fault });
  }

  function countOf(target: Target) {
    let count = told.get(target);
    if (!count) told.set(target, (count = { ...target, ok: 0, failed: 0 }));
    return count;
  }

  function note({ failed }: Patient, target: Target, hasFailed: boolean): void {
    if (hasFailed) failed.add(target);
    else failed.delete(target);
  }

  const timer = setInterval(() => void renew().catch(onError), renewMs);
  void renew().catch(onError);

  return {
    counters: () => ({ ...counters }),
    byTarget: () => [...told.values()],
    close() {
      closed = true;
      clearInterval(timer);
      for (const patient of patients) rest(patient);
      void fleet.release(lease);
    },
  };
}

const neverAsked = {
  askedAt: -Infinity,
  turn: -1,
  timer: undefined,
  asking: undefined,
};

const tooLate: Answer = {
  kind: 'fault',
  fault: { code: 'upstream_timeout', message: 'The provider did not answer a check in time.' },
};

/**
 * A list of models that is refused (no right to it, no such page, too many requests) still shows that
 * somebody is there.
 */
const isListFailure = (answer: Answer): answer is Extract<Answer, { kind: 'fault' }> =>
  isPromptFailure(answer) && (answer.fault.httpStatus ?? 500) >= 500;

const isPromptFailure = (answer: Answer): answer is Extract<Answer, { kind: 'fault' }> =>
  answer.kind === 'fault' && faultTable[answer.fault.code].health;

const faultOfPrompt = (answer: Answer): Fault | undefined =>
  isPromptFailure(answer) ? answer.fault : undefined;

/** A check is made with the first key only: what is wrong with it says nothing of the others. */
const isAboutKey = (answer: Answer): boolean =>
  answer.kind === 'fault' && keyFaults.has(answer.fault.code);

const keyFaults: ReadonlySet<string> = new Set<FaultCode>([
  'upstream_rate_limited',
  'upstream_quota_exceeded',
  'upstream_auth_failed',
]);
