import { memberText, setMembers, withoutMember } from '@millrace/shared/domain/json-text';
import { partsOf } from '../base-url.ts';
import { readErrorBody } from '../errors/read-error.ts';
import { readStream } from './stream.ts';
import { readWhole } from './whole.ts';
import type { Provider, ProviderCall } from '../port.ts';
import { wantsPrefixMark } from '../prefill.ts';
import { streamOptionsFor } from './stream-options.ts';

/** The OpenAI Chat Completions wire format, and everybody who speaks it. */
export const openai: Provider = {
  request,
  readStream,
  readWhole,
  readError: (status, text, { body }) => readErrorBody(status, text, { body }),
};

function request(call: ProviderCall) {
  const members: Record<string, string> = { model: JSON.stringify(call.model) };
  const streamOptions = call.stream ? streamOptionsFor(call) : undefined;
  if (typeof streamOptions === 'string') members['stream_options'] = streamOptions;
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    accept: call.stream ? 'text/event-stream' : 'application/json',
    'user-agent': 'millrace',
  };
  if (call.apiKey !== undefined) headers['authorization'] = `Bearer ${call.apiKey}`;
  if (call.traceparent !== undefined) headers['traceparent'] = call.traceparent;
  if (call.prefill) Object.assign(members, asPrefill(call));
  return {
    path: `${partsOf(call.baseUrl).pathname}/chat/completions`,
    headers,
    body: setMembers(
      streamOptions === null ? withoutMember(call.body, 'stream_options') : call.body,
      members,
    ),
  };
}

/**
 * What makes a trailing assistant message the beginning of the answer: a mark in the message, or two
 * fields for vLLM and SGLang. Those who do it anyway pass over the fields.
 */
function asPrefill({ body, baseUrl }: ProviderCall): Record<string, string> {
  if (!wantsPrefixMark(baseUrl)) {
    return { continue_final_message: 'true', add_generation_prompt: 'false' };
  }
  const messages = memberText(body, 'messages') ?? '[]';
  return { messages: messages.replace(/\}\s*\]$/, ',"prefix":true}]') };
}
