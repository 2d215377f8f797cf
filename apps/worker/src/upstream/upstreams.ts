import type { ModelConfig, ProcessLimits, ProviderConfig } from '@millrace/shared/config';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Prefill, Target } from '@millrace/shared/domain/request';
import { targetKey } from '@millrace/shared/domain/target-key';
import type { Gossip } from '@millrace/shared/store/gossip/port';
import type { Windows } from '@millrace/shared/store/quota/port';
import { startAttempt } from '../run/attempt.ts';
import type { Attempt } from '../run/attempt.ts';
import { failedAttempt } from '../run/failed-attempt.ts';
import type { Route } from '../continuation/plan.ts';
import { providerFormats } from '@millrace/formats/provider-formats';
import type { CallOptions, Policy } from '../run/port.ts';
import { createTargetAccess } from './target-access.ts';
import { createAsk } from './health/ask.ts';
import { startChecks } from './health/checks.ts';
import type { ChecksOptions } from './health/checks.ts';
import { createHealth } from './health/health.ts';
import type { HealthOptions } from './health/port.ts';
import type { Pools } from './pool/pools.ts';
import { publicView } from './public-view.ts';
import type { WaitLimits } from './selection/port.ts';
import { createSelection } from './selection/selection.ts';
import type { SelectionOptions } from './selection/selection.ts';
import type { UpstreamSources } from './upstream-metrics.ts';

export type UpstreamsOptions = {
  providers: Readonly<Record<string, ProviderConfig>>;
  models: Readonly<Record<string, ModelConfig>>;
  limits: ProcessLimits;
  pools: Pools;
  /** This worker's name. */
  worker: string;
  /** What workers tell each other. */
  fleet: Gossip;
  /** The limits that the fleet shares. */
  windows: Windows;
  /** Who says how many of a model may wait for room. */
  waitLimits: WaitLimits;
  onChange?: HealthOptions['onChange'];
  /** An active check fails from now on, or does so no more. */
  onCheck?: ChecksOptions['onChange'];
  onAside?: SelectionOptions['onAside'];
  /** This process stood still a moment ago, as `LateLoop` has it. */
  wasLate(): boolean;
  /** A call failed: what the operator should know of it. */
  onFault?(call: { request: string; target: Target; fault: Fault }): void;
  onError(error: unknown): void;
};

export type Upstreams = ReturnType<typeof createUpstreams>;

/**
 * All between a target's name and a call under way: what the config says of it, how it is, whose turn it
 * is, its wire format and its pool.
 */
export function createUpstreams(options: UpstreamsOptions) {
  const { providers, models, limits, pools, worker, fleet, windows, waitLimits: lines } = options;
  const { onChange, onAside, onFault, wasLate, onError } = options;
  /**
   * Targets that take requests only without `stream_options`, for as long as this worker lives; by
   * `targetKey`. That one refused it is no proof: it may have quoted a value of the request.
   */
  const refusesStreamOptions = new Set<string>();
  const health = createHealth({
    bus: fleet,
    worker,
    breakerOf: (provider) => providers[provider]?.breaker,
    wasLate,
    ...(onChange && { onChange }),
    onError,
  });
  const selection = createSelection({
    models,
    providers,
    health,
    windows,
    isFull: (provider) => pools.of(provider)?.isFull() ?? false,
    waiting: limits.waiting,
    waitLimits: lines,
    now: Date.now,
    random: Math.random,
    share: (text) => fleet.publish(text),
    ...(onAside && { onAside }),
    onError,
  });
  const notices = fleet.subscribe({ onText: selection.onNotice, onListening() {} });
  const checks = startChecks({
    fleet,
    health,
    wasLate,
    onChange: options.onCheck,
    providers: Object.entries(providers).map(([name, { check }]) => ({
      name,
      check,
      targets: targetsAt(name, models),
    })),
    ask: createAsk({
      providers,
      upstreamOf: (provider) => pools.of(provider),
      maxResponseBytes: limits.responseBodyBytes,
      onError,
    }),
    onError,
  });

  return {
    policy: (model: string): Policy | undefined => models[model],

    /** The targets that this worker's config knows, with what they can do. */
    routes(targets: readonly Target[], model: string): Route[] {
      return targets.flatMap((target) => {
        const provider = providers[target.provider];
        if (!provider) return [];
        const said = models[model]?.targets.find(
          (one) => one.provider === target.provider && one.model === target.model,
        );
        return [{ ...target, prefill: said?.prefill ?? prefillOf(provider, target.model) }];
      });
    },

    availabilityOf: selection.availabilityOf,
    openTargets: createTargetAccess({
      selection,
      health,
      reserve: (provider) => pools.of(provider)?.reserve() ?? nothing,
      now: Date.now,
    }),

    call(options: CallOptions): Attempt {
      const { activation, target, permit, body, mode, identity, ...more } = options;
      const { refusedStreamOptions, ...rest } = more;
      const config = providers[target.provider];
      const model = models[activation.data.model];
      const pool = pools.of(target.provider);
      if (!config || !model || !pool) {
        permit.cancel();
        return failedAttempt(notConfigured(target));
      }
      const watch = permit.begin();
      const key = targetKey(target);
      const attempt = startAttempt({
        dispatcher: pool,
        format: providerFormats[config.api],
        call: {
          body,
          stream: activation.data.stream,
          model: target.model,
          baseUrl: config.baseUrl,
          apiKey: permit.apiKey,
          traceparent: activation.data.traceparent,
          prefill: mode === 'continue',
          omitsStreamOptions:
            !config.streamOptions || refusedStreamOptions || refusesStreamOptions.has(key),
          identity,
        },
        timeouts: model,
        maxResponseBytes: limits.responseBodyBytes,
        watch,
        wasLate,
        ...rest,
      });
      const learn = async () => {
        const outcome = await attempt.outcome;
        watch.ended(outcome);
        const hasBegun = outcome.kind === 'completed' || attempt.firstTokenAt !== undefined;
        if (refusedStreamOptions && hasBegun) refusesStreamOptions.add(key);
        if (outcome.kind !== 'fault') return;
        onFault?.({ request: activation.id, target, fault: outcome.fault });
      };
      learn().catch(onError);
      return attempt;
    },

    /** That are heard of, this one too. */
    workers: () => Math.max(1, health.snapshot().workers),

    /** For /admin/upstreams: no secrets. */
    snapshot: () =>
      publicView({
        pools: pools.stats(),
        health: health.snapshot(),
        selection: selection.snapshot(),
      }),
    sources: {
      pools: () => pools.stats(),
      health: () => health.snapshot(),
      counters: () => health.counters(),
      checks: () => checks.byTarget(),
      waiting: () =>
        Object.fromEntries(
          Object.entries(selection.snapshot().models).map(([model, one]) => [model, one.waiting]),
        ),
    } satisfies UpstreamSources,

    /** Tells the fleet a last time; to be called while Redis is still there. */
    close(): void {
      checks.close();
      notices.close();
      health.close();
      pools.close();
    },
  };
}

const nothing = (): void => {};

const prefillOf = ({ api, baseUrl }: ProviderConfig, model: string): Prefill =>
  providerFormats[api].prefillOf({ baseUrl, model });

/** Each of them once, whichever models name it. */
function targetsAt(provider: string, models: Readonly<Record<string, ModelConfig>>): Target[] {
  const names = Object.values(models)
    .flatMap(({ targets }) => targets)
    .filter((target) => target.provider === provider)
    .map(({ model }) => model);
  return [...new Set(names)].map((model) => ({ provider, model }));
}

const notConfigured = ({ provider, model }: Target): Fault => ({
  code: 'provider_not_configured',
  message: `This worker's config has no usable provider '${provider}' for '${model}'.`,
});
