import type { Headers } from '@millrace/formats/port';
import type { FaultCode } from '@millrace/shared/domain/fault';
import type { AttemptOutcome } from '../run/attempt.ts';
import type { Route } from '../continuation/plan.ts';
import type { Health } from './health/port.ts';
import type { KeyLease } from './selection/key-ring.ts';
import type { WaitOutcome, WaitRequest } from './selection/waiter.ts';
import type { RampSample } from './selection/port.ts';
import type { Selection } from './selection/selection.ts';
import type { TargetGrant } from './selection/target-limits.ts';

/** What one upstream call needs to begin. Either of the two is called, once. */
export type Permit = {
  apiKey: string | undefined;
  /** The call begins now: what it is to tell. */
  begin(): CallWatch;
  /** It is not made after all. */
  cancel(): void;
};

/** What is learned from one upstream call. */
export type CallWatch = {
  /** The head of the answer, of any status. */
  head(status: number, headers: Headers): void;
  /** Milliseconds since the call began. */
  firstToken(ms: number): void;
  ended(outcome: AttemptOutcome): void;
};

/** One request's way to its targets. */
export type TargetAccess = {
  /**
   * The targets that may be asked now, in this request's order, and the others. `urgent`: a reader has
   * a part of the answer, and does not stand in line behind those who have nothing yet.
   */
  candidates(urgent: boolean): { open: readonly Route[]; shut: readonly Route[] };
  /** Milliseconds since the epoch from which on it may be asked, as far as is known; 0: now. */
  opensAt(route: Route): number;
  /** Undefined when the target takes none now. A promise only where others have to be asked. */
  acquire(route: Route): Permit | undefined | Promise<Permit | undefined>;
  /** What it refused last was the key that it was asked with, and it may be asked with another one. */
  hasOtherKey(route: Route): boolean;
  /** Until one of these may be asked; one wait at a time. */
  wait(routes: readonly Route[], need: WaitNeed): Promise<WaitOutcome>;
  /**
   * Whether it may go back to the queue instead of failing: all that the model lacks is room. If so, no
   * other of its requests is taken for a moment.
   */
  requeue(): boolean;
  /** The request asks nobody any more. */
  close(): void;
};

/** How a request stands in line: `urgent` as above, the others as in `WaitRequest`. */
export type WaitNeed = Required<Pick<WaitRequest, 'urgent' | 'isFresh' | 'isDetached'>>;

export type TargetAccessRequest = {
  model: string;
  routes: readonly Route[];
  /** As the client sent it. */
  body: string;
  signal: AbortSignal;
  /** Milliseconds since the epoch. */
  deadlineAt?: number | undefined;
};

export type TargetAccessOptions = {
  selection: Pick<
    Selection,
    'order' | 'check' | 'isLastResort' | 'take' | 'key' | 'queue' | 'goBack'
  >;
  health: Pick<Health, 'started' | 'stateOf' | 'claimProbe'>;
  /** Keeps a connection's room at the provider for a permit, until the returned function is called. */
  reserve(provider: string): () => void;
  now(): number;
};

/** Milliseconds for which a target that took no request is not asked again by it. */
const barredMs = 50;

/** Joins what is known of targets: which ones a request may ask, with which key, and when. */
export function createTargetAccess({ selection, health, reserve, now }: TargetAccessOptions) {
  return function open({
    model,
    routes,
    body,
    signal,
    deadlineAt,
  }: TargetAccessRequest): TargetAccess {
    const waiter = selection.queue(model, { signal, deadlineAt });
    /** Targets that took no request of this one, and until when they need not be asked again. */
    const barred = new Map<Route, number>();
    /** The key that each of them refused last. */
    const refused = new Map<Route, KeyLease>();
    let ordered: readonly Route[] | undefined;
    let retryAfterMs: number | undefined;
    /** Drawn by the line for the targets that were waited for: no others are drawn for them. */
    let samples = new Map<Route, RampSample>();
    /** A target was asked for a place since the last wait. */
    let hasAsked = false;

    const isOpen = (route: Route): boolean =>
      (barred.get(route) ?? 0) <= now() &&
      selection.check(model, route, samples.get(route)).kind === 'yes';

    async function wait(routes: readonly Route[], need: WaitNeed): Promise<WaitOutcome> {
      const wants = routes.map((target) => ({ target, notBefore: barred.get(target) ?? 0 }));
      const waited = await waiter.wait({ wants, ...need, retryAfterMs, hasAsked });
      hasAsked = false;
      if (waited.kind === 'retry') {
        const isAdmitted = (route: Route) => waited.open.includes(route);
        samples = new Map(
          routes.map((route) => [route, isAdmitted(route) ? 'admitted' : 'deferred']),
        );
      }
      return waited;
    }

    async function claim(route: Route): Promise<Permit | undefined> {
      if ((await health.claimProbe(route)) || selection.isLastResort(model, route)) {
        return take(route);
      }
      barred.set(route, now() + barredMs);
      return undefined;
    }

    function take(route: Route): Permit | undefined | Promise<Permit | undefined> {
      const grant = selection.take(route, body);
      return grant instanceof Promise
        ? grant.then((one) => granted(route, one))
        : granted(route, grant);
    }

    function granted(route: Route, grant: TargetGrant): Permit | undefined {
      if (grant.kind === 'yes') {
        retryAfterMs = undefined;
        waiter.admitted();
        return permit(route, grant, selection.key(route, body));
      }
      retryAfterMs = grant.retryAfterMs;
      barred.set(route, now() + barredMs);
      return undefined;
    }

    function permit(
      route: Route,
      grant: Extract<TargetGrant, { kind: 'yes' }>,
      key: KeyLease | undefined,
    ): Permit {
      const release = reserve(route.provider);
      return {
        apiKey: key?.apiKey,
        begin() {
          release();
          const report = health.started(route);
          const startedAt = now();
          let hasSpoken = false;
          return {
            head: (status, headers) => key?.used(headers, status),
            firstToken(ms) {
              hasSpoken = true;
              report({ kind: 'first-token', ms });
            },
            ended(outcome) {
              key?.end();
              if (outcome.kind === 'fault') key?.failed(outcome.fault);
              if (key && isAboutKey(outcome)) refused.set(route, key);
              else refused.delete(route);
              if (outcome.kind === 'completed') {
                // Of an answer that comes as a whole, all of it is its first token.
                report(
                  hasSpoken ? { kind: 'ok' } : { kind: 'ok', firstTokenMs: now() - startedAt },
                );
                grant.settle(outcome.usage);
                return;
              }
              // A key that is refused while another one may be asked says nothing about the target.
              const isFault = outcome.kind === 'fault' && !refused.get(route)?.hasOther();
              report(isFault ? outcome : { kind: 'void' });
              // A refusal uses no tokens; what broke off used some that nobody counted.
              const isRefusal = outcome.kind === 'fault' && !hasSpoken;
              grant.settle(isRefusal ? nothingUsed : undefined);
            },
          };
        },
        cancel() {
          release();
          key?.end();
          grant.cancel();
        },
      };
    }

    return {
      candidates(urgent) {
        if (!ordered) {
          const { open, shut } = selection.order(model, routes, body);
          ordered = [...open, ...shut];
          const may = urgent ? open : open.filter((route) => !waiter.isBehind(route));
          return { open: may, shut: ordered.filter((route) => !may.includes(route)) };
        }
        const open = ordered.filter(isOpen);
        return { open, shut: ordered.filter((route) => !open.includes(route)) };
      },
      opensAt(route) {
        const checked = selection.check(model, route);
        return checked.kind === 'yes' ? 0 : checked.until;
      },
      acquire(route) {
        hasAsked = true;
        const state = health.stateOf(route);
        if (state === 'half-open') return claim(route);
        if (state !== 'open' || selection.isLastResort(model, route)) return take(route);
        // It was given up while this request paused.
        barred.set(route, now() + barredMs);
        return undefined;
      },
      hasOtherKey: (route) => refused.get(route)?.hasOther() ?? false,
      wait,
      requeue: () => selection.goBack(model),
      close: () => waiter.abandon(),
    };
  };
}

/** Faults that another key of the provider may not have. */
const keyFaults: ReadonlySet<string> = new Set<FaultCode>([
  'upstream_rate_limited',
  'upstream_quota_exceeded',
  'upstream_auth_failed',
]);

const isAboutKey = (outcome: AttemptOutcome): boolean =>
  outcome.kind === 'fault' && keyFaults.has(outcome.fault.code);

const nothingUsed = { total_tokens: 0 };
