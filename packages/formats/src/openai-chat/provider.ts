import { setMembers, withoutMember } from '@millrace/shared/domain/json-text';
import { partsOf } from '../base-url.ts';
import type { ProviderAccount, ProviderCall, ProviderFormat, UpstreamRequest } from '../port.ts';
import { anthropicQuota, limitsReader, openAiQuota } from '../rate-limits.ts';
import { readError } from './errors.ts';
import { prefillMembers, wantsPrefixMark } from './prefill.ts';
import { adaptTranslated } from './translated.ts';
import { streamOptionsFor } from './stream-options.ts';
import { readStream } from './stream.ts';
import { readWhole } from './whole.ts';
import { upstreamRequest } from '../upstream-request.ts';

/** OpenAI's Chat Completions, and compatible providers. */
export const openAiChat: ProviderFormat = {
  modelsRequest: (account) => ({
    path: `${partsOf(account.baseUrl).pathname}/models`,
    headers: { accept: 'application/json', 'user-agent': 'millrace', ...authorization(account) },
  }),
  request,
  readStream,
  readWhole,
  readError,
  readLimits: limitsReader([openAiQuota, anthropicQuota]),
  prefillOf: ({ baseUrl }) => wantsPrefixMark(baseUrl),
};

const authorization = ({ apiKey }: ProviderAccount): Record<string, string> =>
  apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };

function request(call: ProviderCall) {
  const members: Record<string, string> = { model: JSON.stringify(call.model) };
  const streamOptions = call.stream ? streamOptionsFor(call) : undefined;
  if (typeof streamOptions === 'string') members['stream_options'] = streamOptions;
  if (call.prefill) Object.assign(members, prefillMembers(call));
  const asked = call.isTranslated ? adaptTranslated(call) : call.body;
  return requestTo(
    '/chat/completions',
    call,
    setMembers(streamOptions === null ? withoutMember(asked, 'stream_options') : asked, members),
  );
}

/** A request to one of OpenAI's APIs. `path`: after the base URL. */
export const requestTo = (path: string, call: ProviderCall, body: string): UpstreamRequest =>
  upstreamRequest(call, {
    path: `${partsOf(call.baseUrl).pathname}${path}`,
    headers: authorization(call),
    body,
  });
