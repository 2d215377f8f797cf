import { randomBytes } from 'node:crypto';
import { providerFormats } from '@millrace/formats/provider-formats';
import type { ModelConfig, ProviderConfig } from '@millrace/shared/config';
import { configuredTarget, restOf, targetsOf } from '@millrace/shared/domain/model-names';
import type { Target } from '@millrace/shared/domain/request';
import type { Windows } from '@millrace/shared/store/quota/port';
import type { Prices } from '@millrace/shared/cost/prices';
import { estimateTokens } from '@millrace/shared/domain/tokens';
import { expectedCosts } from './expected-costs.ts';
import { decodeNotice, encodeNotice } from './key-notice.ts';
import { createKeyRing } from './key-ring.ts';
import type { KeyLease, KeyRing, KeyRingOptions } from './key-ring.ts';
import { targetKey } from '@millrace/shared/domain/target-key';
import { drawAgainMs, panicShareAt } from './panic.ts';
import { whyShut } from './no-target.ts';
import type { Cause } from './no-target.ts';
import type { TargetWaiter } from './waiter.ts';
import type { Check, Health, WaitLimits, RampSample, Availability } from './port.ts';
import { createPromptCache } from './prompt-cache.ts';
import { rendezvous, stickyText } from './sticky.ts';
import { byCost, createStrategy } from './strategies.ts';
import { createTargetLimits } from './target-limits.ts';
import { createWaiting } from './waiting.ts';
import type { WaitingOptions } from './waiting.ts';

type ProviderKeys = Pick<ProviderConfig, 'api' | 'apiKeys'>;

export type SelectionOptions = {
  models: Readonly<Record<string, ModelConfig>>;
  providers: Readonly<Record<string, ProviderKeys>>;
  health: Health;
  /** Of the present config: for `strategy: cheapest`. */
  prices: Prices;
  /** The limits that the fleet shares. */
  windows: Windows;
  /** The target that keeps the state of one that a wildcard serves (wildcard-targets.ts). */
  keeperOf?(target: Target): Target;
  /** Whether all connections to a provider that this worker may have are in use. */
  isFull?(provider: string): boolean;
  /** Requests of this worker that may wait concurrently (`limits.waiting`). */
  readonly waiting: number;
  /** How many requests of a model may wait for capacity. */
  waitLimits: WaitLimits;
  now(): number;
  /** Between 0 and 1. */
  random(): number;
  setTimer?: WaitingOptions['setTimer'];
  /** Sends a text to every worker of the fleet; their `onNotice` takes it. */
  share(fact: string): void;
  onAside?: KeyRingOptions['onAside'];
  onError(error: unknown): void;
};

export type Selection = ReturnType<typeof createSelection>;

/** Decides which target a request asks, with which key, and when. */
export function createSelection(options: SelectionOptions) {
  const { health, windows, now, random, share, onAside, onError } = options;
  const { keeperOf = (target) => target } = options;
  let { models } = options;
  const ownId = randomBytes(6).toString('hex');
  const limits = createTargetLimits({
    models,
    windows,
    now,
    onRoom: () => waiting.wake(),
    onError,
  });
  const createRing = (provider: string, { api, apiKeys }: ProviderKeys): KeyRing =>
    createKeyRing({
      provider,
      keys: apiKeys,
      readLimits: providerFormats[api].readLimits,
      now,
      share: (fact) => share(encodeNotice({ ...fact, from: ownId })),
      ...(onAside ? { onAside } : {}),
    });
  let strategies = mapOf(models, (_name, { strategy }) => createStrategy(strategy, random));
  let { providers } = options;
  let rings: ReadonlyMap<string, KeyRing> = mapOf(providers, createRing);
  const waiting = createWaiting({
    get limit() {
      return options.waiting;
    },
    waitLimits: options.waitLimits,
    now,
    setTimer: options.setTimer ?? startTimer,
    may: check,
    causeOf,
    limitOf: (target) => rings.get(target.provider)?.limit(keeperOf(target).model),
    sampleUntil,
  });
  const promptCache = createPromptCache({ now, setTimer: options.setTimer ?? startTimer, share });
  health.onAvailable(() => waiting.wake());

  const costsOf = (request: { body: string; delivered?: number }) =>
    expectedCosts({
      ...request,
      cachedAt: (target) => promptCache.expectedAt(target, request.body),
      prices: options.prices,
      now,
    });

  /** The share of requests that a broken target gets if no target of the model is healthy. */
  const panicShare = (model: string, target: Target): number =>
    panicShareAt(health, siblingsOf(model, target), target);

  /** The targets that serve the same name of the model. */
  function siblingsOf(model: string, target: Target): readonly Target[] {
    const targets = models[model]?.targets;
    const configured = targets && configuredTarget(targets, target);
    if (!targets || !configured) return targets ?? [target];
    return targetsOf(targets, restOf(configured.model, target.model));
  }

  /** How long a sample is valid, if one is drawn (the target recovers, or no target is healthy). */
  function sampleUntil(model: string, target: Target): number | undefined {
    if (panicShare(model, target) > 0) return now() + drawAgainMs;
    return health.stateOf(target) === 'recovering' ? health.nextTryAt(target) : undefined;
  }

  /** Until when the target's health excludes it; undefined if it does not. */
  function brokenUntil(model: string, target: Target, sample?: RampSample): number | undefined {
    const share = panicShare(model, target);
    const next = health.nextTryAt(target) ?? now();
    const until = share > 0 ? Math.min(next, now() + drawAgainMs) : next;
    if (sample && (share > 0 || health.stateOf(target) === 'recovering')) {
      return sample === 'admitted' ? undefined : until;
    }
    return health.admit(target) !== 'no' || random() < share ? undefined : until;
  }

  function check(model: string, target: Target, sample?: RampSample): Check {
    const closed: number[] = [];
    const broken = brokenUntil(model, target, sample);
    const isBroken = broken !== undefined;
    if (isBroken) closed.push(broken);
    const keys = rings.get(target.provider)?.check(keeperOf(target).model);
    if (keys?.kind === 'no') closed.push(keys.until);
    const fullUntil = limits.fullUntil(target);
    if (fullUntil !== undefined) closed.push(fullUntil);
    // The time is unknown: the queue checks again at its interval.
    if (options.isFull?.(target.provider)) closed.push(now());
    if (closed.length === 0) return { kind: 'yes' };
    return { kind: 'no', until: Math.max(...closed), why: isBroken ? 'broken' : 'limited' };
  }

  /** Why the target takes no request now. Draws no sample. */
  function causeOf(target: Target): Cause {
    if (health.isHeld(target)) return 'held';
    if (health.stateOf(target) !== 'closed') return 'broken';
    const keys = rings.get(target.provider)?.check(keeperOf(target).model);
    if (keys?.kind === 'no') return 'provider_limit';
    if (limits.fullUntil(target) !== undefined) return 'own_limit';
    return options.isFull?.(target.provider) ? 'no_connection' : 'free';
  }

  /** Draws no samples: a recovering target counts as available. */
  function availabilityOf(model: string): Availability {
    const checks = models[model]?.targets.map((target) => check(model, target, 'admitted')) ?? [];
    if (checks.some(({ kind }) => kind === 'yes')) return 'open';
    return checks.some((one) => one.kind === 'no' && one.why === 'limited') ? 'limited' : 'broken';
  }

  /** A response may unblock a key, if a quota that seemed exhausted is not. */
  function wakingWaiters(ring: KeyRing, model: string, act: () => void): void {
    const wasShut = waiting.count() > 0 && ring.check(model).kind === 'no';
    act();
    if (wasShut && ring.check(model).kind === 'yes') waiting.wake();
  }

  return {
    /**
     * `open`: the targets in the order in which a request tries them; `shut`: those that cannot be asked now.
     * Call it once per request, because some strategies count. The first target must not be checked again:
     * for a recovering one that would draw a second sample.
     */
    order<T extends Target>(
      model: string,
      targets: readonly T[],
      body: string,
    ): { open: T[]; shut: T[] } {
      const config = models[model];
      const choices = targets.map((target) => ({
        target,
        provider: target.provider,
        model: target.model,
        weight: (config && configuredTarget(config.targets, target)?.weight) ?? 1,
      }));
      const open = choices.filter((choice) => check(model, choice).kind === 'yes');
      const shut = choices.filter((choice) => !open.includes(choice));
      const sticky = config?.sticky === undefined ? undefined : stickyText(body, config.sticky);
      const costAt = costsOf({ body });
      const ordered = strategies.get(model)?.(open, health, { costAt, sticky }) ?? open;
      // The cheapest target comes first, also for a sticky value, which only decides between equal ones.
      const isSticky = sticky !== undefined && config?.strategy !== 'cheapest';
      const own = isSticky ? rendezvous(open, sticky)[0] : undefined;
      const isPanic = open.some((choice) => panicShare(model, choice) > 0);
      if (isPanic) {
        const best = open.toSorted(
          (one, other) => health.successRate(other) - health.successRate(one),
        );
        return { open: best.map(({ target }) => target), shut: shut.map(({ target }) => target) };
      }
      const first = own ? [own, ...ordered.filter((choice) => choice !== own)] : ordered;
      return {
        open: first.map(({ target }) => target),
        shut: shut.map(({ target }) => target),
      };
    },

    /**
     * The targets in the order in which they continue an answer of which `delivered` tokens were delivered; undefined: the order
     * stays, because the model's strategy is not `cheapest`.
     */
    orderOfRescue<T extends Target>(
      model: string,
      targets: readonly T[],
      { body, delivered }: { body: string; delivered: number },
    ): T[] | undefined {
      if (models[model]?.strategy !== 'cheapest') return undefined;
      return byCost(targets, costsOf({ body, delivered }));
    },

    /** A request asks the target; the returned function, if any, takes the usage of its answer. */
    asked: (model: string, target: Target, body: string) =>
      models[model]?.strategy === 'cheapest' ? promptCache.asked(target, body) : undefined,

    /**
     * Whether the target may be asked, as far as this worker knows. Changes nothing. A probe (`ask`) must
     * also be claimed. `sample`: the one that was drawn for this request, if any.
     */
    check,

    /** Why these targets take no request now, in words. */
    whyShut: (targets: readonly Target[]): string => whyShut(targets, causeOf),

    /** Whether the target is asked although it is broken, because no target of the model is healthy. */
    isLastResort: (model: string, target: Target): boolean => panicShare(model, target) > 0,

    /** Whether any target of the model can be asked, and if not, why. */
    availabilityOf,

    /** Counts the request against the target's limits. Synchronous if it has none. */
    take: limits.take,

    /** The keys of the present config, by provider; a change of the config makes another map. */
    get rings(): ReadonlyMap<string, KeyRing> {
      return rings;
    },

    /** The key for one call; undefined if the provider is not configured. `own`: the rings of an earlier config. */
    key(target: Target, body: string, own = rings): KeyLease | undefined {
      const ring = own.get(target.provider);
      if (!ring) return undefined;
      const { model } = keeperOf(target);
      const lease = ring.take(model, () => estimateTokens(body));
      return {
        ...lease,
        used: (...head) => wakingWaiters(ring, model, () => lease.used(...head)),
        end: () => wakingWaiters(ring, model, lease.end),
      };
    },

    /** The waiter of a request; created once per request. */
    queue: (
      model: string,
      request: { signal: AbortSignal; deadlineAt?: number | undefined },
      maxWaitMs = models[model]?.maxWaitMs ?? 0,
    ): TargetWaiter => waiting.open(model, { ...request, maxWaitMs }),

    /** Selects by this config from now on. What is known of strategies and keys that stay is kept. */
    replace(next: Pick<SelectionOptions, 'models' | 'providers'>): void {
      strategies = mapOf(next.models, (name, { strategy }) => {
        const known = models[name]?.strategy === strategy ? strategies.get(name) : undefined;
        return known ?? createStrategy(strategy, random);
      });
      const before = { providers, rings };
      rings = mapOf(next.providers, (name, provider) => {
        const known = hasSameKeys(before.providers[name], provider)
          ? before.rings.get(name)
          : undefined;
        return known ?? createRing(name, provider);
      });
      ({ models, providers } = next);
      limits.replace(models);
      // A target, a key or a limit that requests wait for may be there now.
      waiting.wake();
    },

    /**
     * Whether a request that a limit refused may go back to the queue; if so, no other one of the model is
     * taken for a short time.
     */
    goBack(model: string): boolean {
      const isLimited = options.waitLimits.isLimited(model);
      if (isLimited) options.waitLimits.coolDown(model);
      return isLimited;
    },

    /** Takes a text from another worker. Other kinds of texts are ignored. */
    onNotice(text: string): void {
      const fact = decodeNotice(text);
      if (fact && fact.from !== ownId) rings.get(fact.provider)?.learn(fact);
      promptCache.onNotice(text);
    },

    /** For the bounds in /metrics. */
    promptBlocks: () => promptCache.remembered,

    /** Whether each key of each provider is set aside now; `index` is its position in the config. */
    keysAside: () =>
      [...rings].flatMap(([provider, ring]) =>
        ring.aside().map((isAside, index) => ({ provider, index, isAside })),
      ),

    /** For /admin/upstreams: no secrets. */
    snapshot: () => ({
      waiting: waiting.count(),
      models: Object.fromEntries(
        Object.entries(models).map(([model, { strategy, sticky, targets }]) => [
          model,
          {
            strategy,
            sticky,
            waiting: waiting.count(model),
            targets: targets.map((target) => ({
              target: targetKey(target),
              weight: target.weight,
              may: check(model, target),
              inFlight: health.inFlight(target),
              firstTokenMs: health.firstTokenMs(target),
              limits: limits.snapshot(target),
            })),
          },
        ]),
      ),
      keys: Object.fromEntries([...rings].map(([provider, ring]) => [provider, ring.snapshot()])),
    }),
  };
}

function mapOf<T, Made>(
  record: Readonly<Record<string, T>>,
  make: (name: string, value: T) => Made,
): ReadonlyMap<string, Made> {
  return new Map(Object.entries(record).map(([name, value]) => [name, make(name, value)]));
}

const hasSameKeys = (one: ProviderKeys | undefined, other: ProviderKeys): boolean =>
  one?.api === other.api && isSameList(one.apiKeys, other.apiKeys);

const isSameList = (one: readonly string[], other: readonly string[]): boolean =>
  one.length === other.length && one.every((key, place) => key === other[place]);

function startTimer(act: () => void, ms: number): () => void {
  const timer = setTimeout(act, Math.max(0, ms));
  return () => clearTimeout(timer);
}
