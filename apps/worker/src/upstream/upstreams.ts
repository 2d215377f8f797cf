import type { ModelConfig, ProcessLimits, ProviderConfig } from '@millrace/shared/config';
import type { Fault } from '@millrace/shared/domain/fault';
import { configuredTarget, isPattern } from '@millrace/shared/domain/model-names';
import { requestedModelOf } from '@millrace/shared/domain/request';
import type { Endpoint, JobData, Prefill, Target } from '@millrace/shared/domain/request';
import { loadPrices, loadedPrice } from '@millrace/shared/cost/loaded-prices';
import { createPrices } from '@millrace/shared/cost/prices';
import type { Prices } from '@millrace/shared/cost/prices';
import { targetKey, targetOfKey } from '@millrace/shared/domain/target-key';
import type { Gossip } from '@millrace/shared/store/gossip/port';
import { holdsChanged } from '@millrace/shared/store/target-holds/port';
import type { Windows } from '@millrace/shared/store/quota/port';
import { startAttempt } from '../run/attempt.ts';
import type { Attempt } from '../run/attempt.ts';
import { failedAttempt } from '../run/failed-attempt.ts';
import { secretsIn } from '@millrace/formats/additions';
import { completesTexts, isNative } from '@millrace/formats/client-formats';
import { formatFor, providerFormats } from '@millrace/formats/provider-formats';
import type { CallOptions, ClientRequest, RunDeps } from '../run/port.ts';
import type { DebugLog } from '../debug/call-recorder.ts';
import type { Upstream } from './call.ts';
import type { FailedCall } from './fault-log.ts';
import { createGenerations } from './generations.ts';
import type { Generation } from './generations.ts';
import { createTargetAccess } from './target-access.ts';
import { createAsk } from './health/ask.ts';
import { startChecks } from './health/checks.ts';
import type { ChecksOptions } from './health/checks.ts';
import type { Holds } from './health/holds.ts';
import { createHealth } from './health/health.ts';
import type { Health, HealthOptions } from './health/port.ts';
import { poolViews } from './pool-views.ts';
import type { Pools } from './pool/pools.ts';
import { publicView } from './public-view.ts';
import type { Availability, WaitLimits } from './selection/port.ts';
import { traceHeaders } from '../observe/trace.ts';
import { createSelection } from './selection/selection.ts';
import type { SelectionOptions } from './selection/selection.ts';
import type { UpstreamSources } from './upstream-metrics.ts';
import { createWildcardTargets } from './wildcard-targets.ts';
import type { WildcardTargets } from './wildcard-targets.ts';

export type UpstreamsOptions = {
  providers: Readonly<Record<string, ProviderConfig>>;
  models: Readonly<Record<string, ModelConfig>>;
  /** Always those in use. */
  limits: ProcessLimits;
  pools: Pools;
  /** This worker's name. */
  worker: string;
  /** The gossip between workers. */
  fleet: Gossip;
  /** The targets that an operator has opened. */
  holds: Holds;
  /** The limits that the fleet shares. */
  windows: Windows;
  /** Limits how many requests of a model may wait for capacity. */
  waitLimits: WaitLimits;
  /** Absent: no call is recorded. */
  debugLog?: Pick<DebugLog, 'record'> | undefined;
  onChange?: HealthOptions['onChange'];
  /** Called when an active check begins to fail or succeeds again. */
  onCheck?: ChecksOptions['onChange'];
  onAside?: SelectionOptions['onAside'];
  /** Whether this process was blocked recently, as `LateLoop` has it. */
  wasLate(): boolean;
  /** Providers get the trace context of their attempt, instead of the client's. */
  propagates?: boolean;
  /** Simulated providers get the ids of the requests, so that they can break off the answer of one (`chaos`). */
  namesRequests?: boolean;
  /** A target that a wildcard serves has state of its own from now on (wildcard-targets.ts). */
  onKept?(target: Target): void;
  /** Reports a failed call to the operator. */
  onFault?(call: FailedCall): void;
  onError(error: unknown): void;
};

export type Upstreams = ReturnType<typeof createUpstreams>;

/** Everything between a target's name and a call in flight: its config, health, selection, wire format and pool. */
export function createUpstreams(options: UpstreamsOptions) {
  const { limits, pools, worker, fleet, holds, windows, waitLimits } = options;
  const { debugLog, onChange, onAside, onFault, wasLate, onError, propagates = false } = options;
  const { models, providers } = options;
  /**
   * Targets that accept requests only without `stream_options`, by `targetKey`, for the life of this worker.
   * A single rejection is no proof, because it may quote a value of the request.
   */
  const refusesStreamOptions = new Set<string>();
  const wildcards = createWildcardTargets({
    models: () => generations.current.models,
    ...(options.onKept && { onKept: options.onKept }),
  });
  const { keeperOf } = wildcards;
  const health = withKeepers(
    createHealth({
      bus: fleet,
      worker,
      breakerOf: (provider) => generations.current.providers[provider]?.breaker,
      wasLate,
      holds: withWildcards(holds, wildcards),
      ...(onChange && { onChange }),
      onError,
    }),
    keeperOf,
  );
  const selection = createSelection({
    models,
    providers,
    health,
    prices: (...asked) => pricesOf(generations.current)(...asked),
    windows,
    keeperOf,
    isFull: (provider) => pools.of(provider)?.isFull() ?? false,
    get waiting() {
      return limits.waiting;
    },
    waitLimits,
    now: Date.now,
    random: Math.random,
    share: (text) => fleet.publish(text),
    ...(onAside && { onAside }),
    onError,
  });
  const generations = createGenerations({
    first: { models, providers, pools: pools.all, rings: selection.rings },
    keptMs: limits.queueTtlMs,
    onUnused: pools.drop,
    now: Date.now,
  });
  const prices = new WeakMap<Generation, Prices>();
  const pricesOf = (generation: Generation): Prices => {
    const made = prices.get(generation) ?? createPrices(generation, loadedPrice);
    prices.set(generation, made);
    return made;
  };
  /** So that the first request of a model that is routed by cost need not wait for them. */
  const loadPricesOf = (all: UpstreamsOptions['models']): void => {
    const targets = Object.values(all).flatMap((one) =>
      one.strategy === 'cheapest' ? one.targets : [],
    );
    loadPrices(targets)?.catch(onError);
  };
  loadPricesOf(models);
  const notices = fleet.subscribe({
    onText(text) {
      if (text === holdsChanged) void holds.look();
      else selection.onNotice(text);
    },
    onListening: () => void holds.look(),
  });
  const checks = startChecks({
    fleet,
    health,
    wasLate,
    onChange: options.onCheck,
    providers: checkedProviders(options),
    ask: createAsk({
      get providers() {
        return generations.current.providers;
      },
      upstreamOf: (provider) => pools.of(provider),
      maxResponseBytes: limits.responseBodyBytes,
      onError,
    }),
    onError,
  });

  /** What one run sees: its model, its targets and its keys as they were when it began. */
  function runUpstreams(generation: Generation): RunUpstreams {
    const { models: known, providers: own } = generation;
    return {
      policy: (model) => known[model],

      routes: (targets, { model, endpoint }) =>
        targets.flatMap((target) => {
          const provider = own[target.provider];
          if (!provider) return [];
          const said = configuredTarget(known[model]?.targets ?? [], target);
          const prefill =
            completesTexts(provider, endpoint) ||
            (said?.prefill ?? prefillOf(provider, target.model));
          return [
            { ...target, prefill, ...(provider.aggregator && { aggregator: true as const }) },
          ];
        }),

      openTargets: createTargetAccess({
        selection: {
          ...selection,
          key: (target, body) => selection.key(target, body, generation.rings),
          queue: (model, request) => selection.queue(model, request, known[model]?.maxWaitMs),
        },
        health,
        reserve: (provider) => generation.pools.get(provider)?.reserve() ?? nothing,
        now: Date.now,
      }),

      call: (call) => startCall(generation, call),

      costs: {
        prices: (...asked) => pricesOf(generation)(...asked),
        load({ model, maxCost }) {
          const { strategy, targets } = known[model] ?? {};
          const isNeeded = maxCost !== undefined || strategy === 'cheapest';
          return isNeeded && targets ? loadPrices(targets) : undefined;
        },
      },
    };
  }

  /** Undefined for a request that the debug log does not have. */
  function recorderOf(
    { id, data }: CallOptions['activation'],
    call: { target: Target; secrets: readonly string[] },
    upstream: Upstream,
  ) {
    if (!data.debug) return undefined;
    const model = requestedModelOf(data);
    return debugLog?.record({ request: id, key: data.standing?.key, model, ...call }, upstream);
  }

  function startCall(generation: Generation, call: CallOptions): Attempt {
    const { activation, target, permit, body, mode, attempt: number, identity, ...more } = call;
    const { asked, turns, refusedStreamOptions, ...rest } = more;
    const config = generation.providers[target.provider];
    const model = generation.models[activation.data.model];
    const pool = generation.pools.get(target.provider);
    if (!config || !model || !pool) {
      permit.cancel();
      return failedAttempt(notConfigured(target));
    }
    const { endpoint } = activation.data;
    const format = formatFor(config, endpoint);
    if (!format) {
      permit.cancel();
      return failedAttempt(unsuited(hasNoApi(requestedModelOf(activation.data), endpoint)));
    }
    const isOwnFormat = isNative(endpoint, config);
    if (asked?.inexpressible && !isOwnFormat) {
      permit.cancel();
      return failedAttempt(unsuited(asked.inexpressible));
    }
    const watch = permit.begin();
    const key = targetKey(keeperOf(target));
    const secrets = [...(permit.apiKey === undefined ? [] : [permit.apiKey]), ...secretsIn(config)];
    const recorder = recorderOf(activation, { target, secrets }, pool);
    const upstream = recorder?.upstream ?? pool;
    const attempt = startAttempt({
      dispatcher:
        options.namesRequests && config.simulated ? naming(upstream, activation.id) : upstream,
      format,
      call: {
        body,
        native: asked && isOwnFormat ? { body: asked.body, turns } : undefined,
        isTranslated: asked !== undefined && !isOwnFormat,
        stream: activation.data.stream,
        model: target.model,
        baseUrl: config.baseUrl,
        apiKey: permit.apiKey,
        ...traceHeaders(activation, number, propagates),
        prefill: mode === 'continue',
        omitsStreamOptions:
          !config.streamOptions || refusedStreamOptions || refusesStreamOptions.has(key),
        identity,
      },
      timeouts: model,
      maxResponseBytes: limits.responseBodyBytes,
      secrets: secretsIn(config),
      namedModel: namedModelOf(activation.data, configuredTarget(model.targets, target)),
      watch,
      wasLate,
      ...rest,
    });
    const learn = async () => {
      const outcome = await attempt.outcome;
      watch.ended(outcome);
      recorder?.ended(outcome);
      const hasBegun = outcome.kind === 'completed' || attempt.firstTokenAt !== undefined;
      if (hasBegun) wildcards.answered(target);
      if (refusedStreamOptions && hasBegun) refusesStreamOptions.add(key);
      if (outcome.kind !== 'fault') return;
      const keeper = keeperOf(target);
      onFault?.({ request: activation.id, target, keeper, fault: outcome.fault });
    };
    learn().catch(onError);
    return attempt;
  }

  const views = new WeakMap<Generation, RunUpstreams>();
  const viewOf = (generation: Generation): RunUpstreams => {
    const view = views.get(generation) ?? runUpstreams(generation);
    views.set(generation, view);
    return view;
  };

  /** Without targets of providers that are not in the config any more. */
  const healthSnapshot = () => {
    const snapshot = health.snapshot();
    const isKnown = ({ provider, inFlight }: { provider: string; inFlight: number }) =>
      inFlight > 0 || Object.hasOwn(generations.current.providers, provider);
    return { ...snapshot, targets: snapshot.targets.filter(isKnown) };
  };

  return {
    knows: generations.knows,

    /** What a run of this job sees, until `end` is called. */
    begin(job: { model: string; targets: readonly Target[] }) {
      const lease = generations.begin(job);
      return { upstreams: viewOf(lease.generation), end: lease.end };
    },

    /**
     * Prepares a change of the config, and returns what applies it to the runs that begin from then on. Throws a ConfigError.
     */
    prepare(next: Pick<UpstreamsOptions, 'models' | 'providers'>): () => void {
      const replacePools = pools.prepare(next.providers);
      return () => {
        const before = pools.all;
        replacePools();
        for (const key of refusesStreamOptions) {
          const { provider } = targetOfKey(key);
          if (before.get(provider) !== pools.all.get(provider)) refusesStreamOptions.delete(key);
        }
        selection.replace(next);
        generations.advance({
          models: next.models,
          providers: next.providers,
          pools: pools.all,
          rings: selection.rings,
        });
        loadPricesOf(next.models);
        health.retune();
        checks.replace(checkedProviders(next));
        pools.warm(namedProviders(next.models));
      };
    },

    availabilityOf: (model: string): Availability =>
      // Its requests wait in the queue since before it was removed.
      model in generations.current.models ? selection.availabilityOf(model) : 'open',

    /** Blocks of prompts that are remembered for `strategy: cheapest`. */
    promptBlocks: selection.promptBlocks,

    /** A provider of the config in use. */
    providerOf: (name: string): ProviderConfig | undefined => generations.current.providers[name],

    /** Live workers, including this one. */
    workers: () => Math.max(1, health.snapshot().workers),

    /** For /admin/upstreams: no secrets. */
    snapshot: () =>
      publicView({
        pools: pools.stats(),
        health: healthSnapshot(),
        selection: selection.snapshot(),
      }),
    /** For an operator who looks now. */
    lookAtPools: () => poolViews(pools, selection.snapshot().keys),
    sources: {
      pools: () => pools.stats(),
      health: healthSnapshot,
      counters: () => health.counters(),
      checks: () => checks.byTarget(),
      failing: () => checks.failing(),
      keysAside: () => selection.keysAside(),
      models: () => generations.current.models,
      waiting: () =>
        Object.fromEntries(
          Object.entries(selection.snapshot().models).map(([model, one]) => [model, one.waiting]),
        ),
    } satisfies UpstreamSources,

    /** Sends a last message to the fleet; call it while Redis is still connected. */
    close(): void {
      checks.close();
      notices.close();
      health.close();
      holds.close();
      pools.close();
    },
  };
}

type RunUpstreams = Pick<RunDeps, 'policy' | 'routes' | 'openTargets' | 'call' | 'costs'>;

const nothing = (): void => {};

/** Sends the id of the request in a header. */
const naming = (upstream: Upstream, id: string): Upstream => ({
  dispatch(options, handler) {
    const headers = { ...(options.headers as object), 'x-millrace-request': id };
    upstream.dispatch({ ...options, headers }, handler);
  },
});

const prefillOf = ({ api, baseUrl }: ProviderConfig, model: string): Prefill =>
  providerFormats[api].prefillOf({ baseUrl, model });

/** The providers that models name. */
export const namedProviders = (models: Readonly<Record<string, ModelConfig>>): string[] =>
  Object.values(models).flatMap(({ targets }) => targets.map(({ provider }) => provider));

const checkedProviders = ({ models, providers }: Pick<UpstreamsOptions, 'models' | 'providers'>) =>
  Object.entries(providers).map(([name, { check }]) => ({
    name,
    check,
    // There is no model to ask for in the place of a `*`.
    targets: targetsAt(name, models).filter(
      ({ model }) => check.kind !== 'prompt' || !isPattern(model),
    ),
  }));

/** Each target once, whichever models name it. */
function targetsAt(provider: string, models: Readonly<Record<string, ModelConfig>>): Target[] {
  const names = Object.values(models)
    .flatMap(({ targets }) => targets)
    .filter((target) => target.provider === provider)
    .map(({ model }) => model);
  return [...new Set(names)].map((model) => ({ provider, model }));
}

/** What a client is told if the provider does not have the model; undefined if the operator has named it. */
const namedModelOf = (job: JobData, configured: Target | undefined): string | undefined =>
  configured && isPattern(configured.model) ? requestedModelOf(job) : undefined;

/** The health of a target is that of the one that keeps its state. */
function withKeepers(health: Health, keeperOf: WildcardTargets['keeperOf']): Health {
  return {
    ...health,
    started: (target) => health.started(keeperOf(target)),
    admit: (target) => health.admit(keeperOf(target)),
    claimProbe: (target) => health.claimProbe(keeperOf(target)),
    stateOf: (target) => health.stateOf(keeperOf(target)),
    isHeld: (target) => health.isHeld(keeperOf(target)),
    inFlight: (target) => health.inFlight(keeperOf(target)),
    firstTokenMs: (target) => health.firstTokenMs(keeperOf(target)),
    successRate: (target) => health.successRate(keeperOf(target)),
    nextTryAt: (target) => health.nextTryAt(keeperOf(target)),
  };
}

/** An operator who opens `openai/*` opens all targets that it serves. */
const withWildcards = (holds: Holds, { wildcardOf }: WildcardTargets): Holds => ({
  ...holds,
  get(key) {
    const own = holds.get(key);
    if (own) return own;
    const wildcard = holds.keys.length === 0 ? undefined : wildcardOf(targetOfKey(key));
    return wildcard && holds.get(targetKey(wildcard));
  },
  get keys() {
    return holds.keys;
  },
});

const notConfigured = ({ provider, model }: Target): Fault => ({
  code: 'provider_not_configured',
  message: `This worker's config has no usable provider '${provider}' for '${model}'.`,
});

const hasNoApi = (model: string, endpoint: Endpoint) => ({
  message: `The model '${model}' is not supported in the ${endpoint} endpoint.`,
  param: 'model',
});

/** As if the provider had rejected the request, which it never gets: other targets may accept it. */
const unsuited = ({ message, param }: NonNullable<ClientRequest['inexpressible']>): Fault => ({
  code: 'target_unsuited',
  message,
  httpStatus: 400,
  error: { message, type: 'invalid_request_error', param, code: 'unsupported_value' },
});
