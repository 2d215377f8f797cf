import type { ModelConfig, ProcessLimits, ProviderConfig } from '@millrace/shared/config';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';
import { startAttempt } from '../attempt.ts';
import type { Attempt } from '../attempt.ts';
import { failedAttempt } from '../failed-attempt.ts';
import { anthropic } from '../provider/anthropic.ts';
import { openai } from '../provider/openai.ts';
import type { Provider } from '../provider/port.ts';
import type { Route } from '../failover/next.ts';
import type { CallOptions, Policy } from '../run.ts';
import { canPrefill } from '../provider/prefill.ts';
import { createPools } from './pool/pools.ts';

export type UpstreamsOptions = {
  providers: Readonly<Record<string, ProviderConfig>>;
  models: Readonly<Record<string, ModelConfig>>;
  limits: ProcessLimits;
  /** A connection did not come about, for a request or ahead of one; once for failures in a row. */
  onUnreachable?: (provider: string, fault: Fault) => void;
};

/** The wire formats, by the `api` of a provider in the config. */
const wireFormats: Record<ProviderConfig['api'], Provider> = { openai, anthropic };

/**
 * From a target to a call under way: the config, the wire format and the pool that belong to it.
 * Throws a ConfigError when a certificate of a provider cannot be read.
 */
export function createUpstreams({ providers, models, limits, onUnreachable }: UpstreamsOptions) {
  const pools = createPools(providers, {
    onConnectFailure: (provider, fault, losses) => {
      if (losses === 1) onUnreachable?.(provider, fault);
    },
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
        return [{ ...target, prefill: said?.prefill ?? canPrefill(provider, target.model) }];
      });
    },

    call({ activation, target, body, mode, identity, ...rest }: CallOptions): Attempt {
      const config = providers[target.provider];
      const model = models[activation.data.model];
      const pool = pools.of(target.provider);
      if (!config || !model || !pool) return failedAttempt(notConfigured(target));
      return startAttempt({
        dispatcher: pool,
        provider: wireFormats[config.api],
        call: {
          body,
          stream: activation.data.stream,
          model: target.model,
          baseUrl: config.baseUrl,
          apiKey: config.apiKeys[0],
          traceparent: activation.data.traceparent,
          prefill: mode === 'continue',
          identity,
        },
        timeouts: model,
        maxResponseBytes: limits.responseBodyBytes,
        ...rest,
      });
    },
    /** Opens connections to every provider that a model names: backups as well as primaries. */
    warm: () =>
      pools.warm(
        Object.values(models).flatMap(({ targets }) => targets.map((one) => one.provider)),
      ),
    /** By provider. */
    poolStats: () => pools.stats(),
    close: () => pools.close(),
  };
}

const notConfigured = ({ provider, model }: Target): Fault => ({
  code: 'provider_not_configured',
  message: `This worker's config has no usable provider '${provider}' for '${model}'.`,
});
