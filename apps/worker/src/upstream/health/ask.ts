import type { ProviderConfig } from '@millrace/shared/config';
import { classifyStatus } from '@millrace/shared/domain/fault';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';
import { startAttempt } from '../../run/attempt.ts';
import { formatOf } from '@millrace/formats/provider-formats';
import type { Upstream } from '../call.ts';
import { toFault } from '../faults.ts';
import { modelsRequest } from '../pool/keep-warm.ts';
import type { Answer, Question } from './checks.ts';

export type AskOptions = {
  readonly providers: Readonly<Record<string, ProviderConfig>>;
  upstreamOf(provider: string): Upstream | undefined;
  /** The most bytes of an answer. */
  maxResponseBytes: number;
  onError(error: unknown): void;
};

/** Makes the requests of active checks, over the connections that client requests use. */
export function createAsk(options: AskOptions) {
  const { upstreamOf, maxResponseBytes, onError } = options;
  return async (question: Question, signal: AbortSignal): Promise<Answer> => {
    const name = question.kind === 'models' ? question.provider : question.target.provider;
    const [config, upstream] = [options.providers[name], upstreamOf(name)];
    if (!config || !upstream) return unknown(name);
    return question.kind === 'models'
      ? list(upstream, config, signal)
      : prompt(upstream, config, question.target, signal);
  };

  /**
   * The status is the answer: a refusal to list models is an answer, too. The promise resolves when the
   * response has ended, because only then its connection is free again; the check's timeout aborts a response
   * that does not end.
   */
  function list(upstream: Upstream, config: ProviderConfig, signal: AbortSignal): Promise<Answer> {
    return new Promise((resolve) => {
      let answer: Answer | undefined;
      let bytes = 0;
      upstream.dispatch(modelsRequest(config), {
        onRequestStart(controller) {
          const stop = () => controller.abort(new Error('the check is over'));
          if (signal.aborted) stop();
          else signal.addEventListener('abort', stop, { once: true });
        },
        onResponseStart(_controller, status) {
          if (status >= 200) answer = status < 400 ? { kind: 'ok' } : refused(status);
        },
        onResponseData(controller, chunk) {
          bytes += chunk.length;
          if (bytes <= maxResponseBytes || !answer) return;
          // The answer is known; the rest of a long list is not read.
          resolve(answer);
          controller.abort(new Error('the list of models is too long'));
        },
        onResponseEnd: () => answer && resolve(answer),
        onResponseError: (_controller, error) => resolve({ kind: 'fault', fault: toFault(error) }),
      });
    });
  }

  async function prompt(
    upstream: Upstream,
    config: ProviderConfig,
    { model }: Target,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { baseUrl, apiKeys, check } = config;
    const { timeoutMs } = check;
    const { outcome } = startAttempt({
      dispatcher: upstream,
      format: formatOf(config),
      call: {
        body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 1 }),
        stream: false,
        model,
        baseUrl,
        apiKey: apiKeys[0],
        traceparent: undefined,
        prefill: false,
        identity: undefined,
      },
      timeouts: { firstTokenTimeoutMs: timeoutMs, idleTimeoutMs: timeoutMs },
      limit: { at: Date.now() + timeoutMs, fault: tooLate },
      maxResponseBytes,
      sink: { plain() {}, chunk() {}, usage() {} },
      wasAccepted: false,
      signal,
      onError,
    });
    const result = await outcome;
    return result.kind === 'fault' ? result : { kind: 'ok' };
  }
}

const refused = (status: number): Answer => ({
  kind: 'fault',
  fault: {
    code: classifyStatus(status, undefined),
    message: `The provider answered a check with status ${status}.`,
    httpStatus: status,
  },
});

const unknown = (provider: string): Answer => ({
  kind: 'fault',
  fault: {
    code: 'provider_not_configured',
    message: `This worker's config has no provider '${provider}'.`,
  },
});

const tooLate: Fault = {
  code: 'upstream_timeout',
  message: 'The provider did not answer a check in time.',
};
