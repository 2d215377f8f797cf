import type { Headers } from '@millrace/formats/port';
import type { FaultCode } from '@millrace/shared/domain/fault';
import type { AttemptOutcome } from '../run/attempt.ts';
import type { Route } from '../continuation/plan.ts';
import type { Health } from './health/port.ts';
import type { KeyLease } from './selection/key-ring.ts';
import type { TargetWaiter, WaitOutcome, WaitRequest } from './selection/waiter.ts';
import type { RampSample } from './selection/port.ts';
import type { Selection } from './selection/selection.ts';
import type { TargetGrant } from './selection/target-limits.ts';

/** The permit for one upstream call. Exactly one of its two functions is called, once. */
export type Permit = {
  apiKey: string | undefined;
  /** The call begins now; returns the receiver of its events. */
  begin(): CallWatch;
  /** The call is not made. */
  cancel(): void;
};

/** Receives the events of one upstream call. */
export type CallWatch = {
  /** The head of the response, of any status. */
  head(status: number, headers: Headers): void;
  /** Milliseconds since the call began. */
  firstToken(ms: number): void;
  ended(outcome: AttemptOutcome): void;
};

/** One request's access to its targets. */
export type TargetAccess = {
  /**
   * The targets that may be asked now, in this request's order, and the others. `urgent`: a reader has a part of the
   * answer, so the request does not wait behind those that have nothing yet. `delivered`: estimated tokens of that part.
   */
  candidates(
    urgent: boolean,
    delivered?: number,
  ): { open: readonly Route[]; shut: readonly Route[] };
  /** The estimated time from which on it may be asked, in milliseconds since the epoch; 0: now. */
  opensAt(route: Route): number;
  /** Undefined if the target takes no request now. A promise only if Redis has to be asked. */
  acquire(route: Route): Permit | undefined | Promise<Permit | undefined>;
  /** Whether its last refusal concerned the key and it may be asked with another one. */
  hasOtherKey(route: Route): boolean;
  /** Waits until one of these may be asked; only one wait at a time. */
  wait(routes: readonly Route[], need: WaitNeed): Promise<WaitOutcome>;
  /** Why these targets take no request now, in words. */
  whyShut(routes: readonly Route[]): string;
  /**
   * Whether the request may go back to the queue instead of failing, because the model lacks only capacity.
   * If so, no other request of the model is taken for a short time.
   */
  requeue(): boolean;
  /** The request needs no target any more. */
  close(): void;
};

/** How a request waits: `urgent` as above, the others as in `WaitRequest`. */
export type WaitNeed = Required<Pick<WaitRequest, 'urgent' | 'isFresh' | 'isDetached'>>;

export type TargetAccessRequest = {
  model: string;
  routes: readonly Route[];
  /** The request body as the client sent it. */
  body: string;
  signal: AbortSignal;
  /** Milliseconds since the epoch. */
  deadlineAt?: number | undefined;
};

export type TargetAccessOptions = {
  selection: Pick<
    Selection,
    | 'order'
    | 'orderOfRescue'
    | 'asked'
    | 'check'
    | 'isLastResort'
    | 'take'
    | 'key'
    | 'queue'
    | 'goBack'
    | 'whyShut'
  >;
  health: Pick<Health, 'started' | 'stateOf' | 'claimProbe'>;
  /** Reserves room on a connection for a permit, until the returned function is called. */
  reserve(provider: string): () => void;
  now(): number;
};

/** Milliseconds for which a request does not ask a target again that refused it. */
const barredMs = 50;

/** Combines health, limits and keys: which targets a request may ask, with which key, and when. */
export const createTargetAccess =
  (options: TargetAccessOptions) =>
  (request: TargetAccessRequest): TargetAccess =>
    new RequestTargets(options, request);

type Grant = Extract<TargetGrant, { kind: 'yes' }>;

class RequestTargets implements TargetAccess {
  private readonly options: TargetAccessOptions;
  private readonly request: TargetAccessRequest;
  private readonly waiter: TargetWaiter;
  /** Targets that refused this request, and until when they are not asked again. */
  private readonly barred = new Map<Route, number>();
  /** The key that each target rejected last. */
  private readonly refused = new Map<Route, KeyLease>();
  private ordered: readonly Route[] | undefined;
  private retryAfterMs: number | undefined;
  /** Samples that the queue drew for the targets of the last wait: no others are drawn for them. */
  private samples = new Map<Route, RampSample>();
  /** A target was asked for a permit since the last wait. */
  private hasAsked = false;

  constructor(options: TargetAccessOptions, request: TargetAccessRequest) {
    this.options = options;
    this.request = request;
    const { model, signal, deadlineAt } = request;
    this.waiter = options.selection.queue(model, { signal, deadlineAt });
  }

  candidates(urgent: boolean, delivered = 0): { open: readonly Route[]; shut: readonly Route[] } {
    if (this.ordered) {
      const ordered = this.inOrder(this.ordered, delivered);
      const open = ordered.filter((route) => this.isOpen(route));
      return { open, shut: ordered.filter((route) => !open.includes(route)) };
    }
    const { model, routes, body } = this.request;
    const { open, shut } = this.options.selection.order(model, routes, body);
    this.ordered = [...open, ...shut];
    const ordered = this.inOrder(this.ordered, delivered);
    const may = ordered.filter(
      (route) => open.includes(route) && (urgent || !this.waiter.isBehind(route)),
    );
    return { open: may, shut: ordered.filter((route) => !may.includes(route)) };
  }

  private inOrder(routes: readonly Route[], delivered: number): readonly Route[] {
    if (delivered === 0) return routes;
    const { model, body } = this.request;
    return this.options.selection.orderOfRescue(model, routes, { body, delivered }) ?? routes;
  }

  opensAt(route: Route): number {
    const checked = this.options.selection.check(this.request.model, route);
    return checked.kind === 'yes' ? 0 : checked.until;
  }

  acquire(route: Route): Permit | undefined | Promise<Permit | undefined> {
    this.hasAsked = true;
    const state = this.options.health.stateOf(route);
    if (state === 'half-open') return this.claim(route);
    if (state !== 'open' || this.isLastResort(route)) return this.take(route);
    // The target was given up while this request paused.
    this.bar(route);
    return undefined;
  }

  hasOtherKey(route: Route): boolean {
    return this.refused.get(route)?.hasOther() ?? false;
  }

  async wait(routes: readonly Route[], need: WaitNeed): Promise<WaitOutcome> {
    const { retryAfterMs, hasAsked } = this;
    const wants = routes.map((target) => ({ target, notBefore: this.barred.get(target) ?? 0 }));
    const waited = await this.waiter.wait({ wants, ...need, retryAfterMs, hasAsked });
    this.hasAsked = false;
    if (waited.kind === 'retry') {
      const isAdmitted = (route: Route) => waited.open.includes(route);
      this.samples = new Map(
        routes.map((route) => [route, isAdmitted(route) ? 'admitted' : 'deferred']),
      );
    }
    return waited;
  }

  whyShut(routes: readonly Route[]): string {
    return this.options.selection.whyShut(routes);
  }

  requeue(): boolean {
    return this.options.selection.goBack(this.request.model);
  }

  close(): void {
    this.waiter.abandon();
  }

  private isOpen(route: Route): boolean {
    const { selection, now } = this.options;
    return (
      (this.barred.get(route) ?? 0) <= now() &&
      selection.check(this.request.model, route, this.samples.get(route)).kind === 'yes'
    );
  }

  private isLastResort(route: Route): boolean {
    return this.options.selection.isLastResort(this.request.model, route);
  }

  private bar(route: Route): void {
    this.barred.set(route, this.options.now() + barredMs);
  }

  private async claim(route: Route): Promise<Permit | undefined> {
    if ((await this.options.health.claimProbe(route)) || this.isLastResort(route)) {
      return this.take(route);
    }
    this.bar(route);
    return undefined;
  }

  private take(route: Route): Permit | undefined | Promise<Permit | undefined> {
    const grant = this.options.selection.take(route, this.request.body);
    return grant instanceof Promise
      ? grant.then((one) => this.granted(route, one))
      : this.granted(route, grant);
  }

  private granted(route: Route, grant: TargetGrant): Permit | undefined {
    if (grant.kind === 'yes') {
      this.retryAfterMs = undefined;
      this.waiter.admitted();
      return this.permit(route, grant, this.options.selection.key(route, this.request.body));
    }
    this.retryAfterMs = grant.retryAfterMs;
    this.bar(route);
    return undefined;
  }

  private permit(route: Route, grant: Grant, key: KeyLease | undefined): Permit {
    const release = this.options.reserve(route.provider);
    return {
      apiKey: key?.apiKey,
      begin: () => {
        release();
        return this.watch(route, grant, key);
      },
      cancel() {
        release();
        key?.end();
        grant.cancel();
      },
    };
  }

  private watch(route: Route, grant: Grant, key: KeyLease | undefined): CallWatch {
    const { health, now } = this.options;
    const report = health.started(route);
    const { model, body } = this.request;
    const learn = this.options.selection.asked(model, route, body);
    const startedAt = now();
    let hasSpoken = false;
    return {
      head: (status, headers) => key?.used(headers, status),
      firstToken(ms) {
        hasSpoken = true;
        report({ kind: 'first-token', ms });
      },
      ended: (outcome) => {
        key?.end();
        if (outcome.kind === 'fault') key?.failed(outcome.fault);
        if (key && isAboutKey(outcome)) this.refused.set(route, key);
        else this.refused.delete(route);
        if (outcome.kind === 'completed') {
          // For an answer that is not streamed, the time to the first token is the whole time.
          report(hasSpoken ? { kind: 'ok' } : { kind: 'ok', firstTokenMs: now() - startedAt });
          grant.settle(outcome.usage);
          learn?.(outcome.usage);
          return;
        }
        // If another key may be used, the rejection of this one says nothing about the target.
        const isFault = outcome.kind === 'fault' && !this.hasOtherKey(route);
        report(isFault ? outcome : { kind: 'void' });
        // A rejection uses no tokens; an answer that broke off used an unknown number.
        const isRefusal = outcome.kind === 'fault' && !hasSpoken;
        grant.settle(isRefusal ? nothingUsed : undefined);
      },
    };
  }
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
