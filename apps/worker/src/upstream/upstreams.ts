import type { ModelConfig, ProcessLimits, ProviderConfig } from '@millrace/shared/config';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';
import { startAttempt } from '../attempt.ts';
import type { Attempt } from '../attempt.ts';
import { openai } from '../provider/openai.ts';
import type { Provider } from '../provider/port.ts';
import type { CallOptions } from '../run.ts';
import { createPools } from './pools.ts';

export type UpstreamsOptions = {
  providers: Readonly<Record<string, ProviderConfig>>;
  models: Readonly<Record<string, ModelConfig>>;
  limits: ProcessLimits;
};

/** The wire formats, by the `api` of a provider in the config. */
const wireFormats: Partial<Record<ProviderConfig['api'], Provider>> = { openai };

/** From a target to a call under way: the config, the wire format and the pool that belong to it. */
export function createUpstreams({ providers, models, limits }: UpstreamsOptions) {
  const pools = createPools(limits);

  return {
    call({ activation, target, body, sink, signal }: CallOptions): Attempt {
      const config = providers[target.provider];
      const model = models[activation.data.model];
      const provider = config && wireFormats[config.api];
      if (!config || !model || !provider) return refused(notConfigured(target));
      return startAttempt({
        dispatcher: pools.of(new URL(config.baseUrl).origin),
        provider,
        call: {
          body,
          stream: activation.data.stream,
          model: target.model,
          baseUrl: config.baseUrl,
          apiKey: config.apiKey,
          traceparent: activation.data.traceparent,
        },
        timeouts: model,
        deadlineAt: activation.data.deadlineAt,
        maxResponseBytes: limits.responseBodyBytes,
        sink,
        signal,
      });
    },
    close: () => pools.close(),
  };
}

const notConfigured = ({ provider, model }: Target): Fault => ({
  code: 'provider_not_configured',
  message: `This worker's config has no usable provider '${provider}' for '${model}'.`,
});

/** An attempt that failed before it began. */
const refused = (fault: Fault): Attempt => ({
  outcome: Promise.resolve({ kind: 'fault', fault }),
  firstTokenAt: undefined,
  pause: () => {},
  resume: () => {},
});
