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
  /** The gossip between workers. */
  fleet: Gossip;
  /** The limits that the fleet shares. */
  windows: Windows;
  /** Limits how many requests of a model may wait for capacity. */
  waitLimits: WaitLimits;
  onChange?: HealthOptions['onChange'];
  /** Called when an active check begins to fail or succeeds again. */
  onCheck?: ChecksOptions['onChange'];
  onAside?: SelectionOptions['onAside'];
  /** Whether this process was blocked recently, as `LateLoop` has it. */
  wasLate(): boolean;
  /** Reports a failed call to the operator. */
  onFault?(call: { request: string; target: Target; fault: Fault }): void;
  onError(error: unknown): void;
};

export type Upstreams = ReturnType<typeof createUpstreams>;

/** Everything between a target's name and a call in flight: its config, health, selection, wire format and pool. */
export function createUpstreams(options: UpstreamsOptions) {
  const { providers, models, limits, pools, worker, fleet, windows, waitLimits: lines } = options;
  const { onChange, onAside, onFault, wasLate, onError } = options;
  /**
   * Targets that accept requests only without `stream_options`, by `targetKey`, for the life of this worker.
   * A single rejection is no proof, because it may quote a value of the request.
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

    /** The targets that this worker's config knows, with their capabilities. */
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

    /** Live workers, including this one. */
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

    /** Sends a last message to the fleet; call it while Redis is still connected. */
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

/** Each target once, whichever models name it. */
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
