import type { Fault } from '@millrace/shared/domain/fault';
import { partsOf } from '../base-url.ts';
import type { ProviderAccount, ProviderCall, ProviderFormat, UpstreamRequest } from '../port.ts';
import { anthropicQuota, limitsReader, openAiQuota } from '../rate-limits.ts';
import { readError } from './errors.ts';
import { nativeRequest } from './native-request.ts';
import { translateRequest } from './request.ts';
import { readStream } from './stream.ts';
import { readWhole } from './whole.ts';
import { translatedRequest } from '../upstream-request.ts';

/** OpenAI's Responses API, and compatible providers. Incoming requests and returned answers are in the inner form. */
export const openAiResponses: ProviderFormat = {
  modelsRequest: (account) => ({
    path: `${partsOf(account.baseUrl).pathname}/models`,
    headers: { accept: 'application/json', 'user-agent': 'millrace', ...authorization(account) },
  }),
  request,
  readStream: (call, sink) => readStream(call, sink),
  readWhole: (text, call) => readWhole(text, call),
  readError,
  readLimits: limitsReader([openAiQuota, anthropicQuota]),
  // OpenAI answers a trailing assistant message with another one; vLLM continues it, and cannot be recognised by its address.
  prefillOf: () => false,
  capabilitiesOf: () => ({ serves: ['chat', 'compaction'] }),
};

const authorization = ({ apiKey }: ProviderAccount): Record<string, string> =>
  apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };

function request(call: ProviderCall): UpstreamRequest | Fault {
  return translatedRequest(call, () => ({
    path: `${partsOf(call.baseUrl).pathname}/responses`,
    headers: authorization(call),
    body: call.native ? nativeRequest(call.native, call) : translateRequest(call),
  }));
}
