import { memberText, setMembers } from '@millrace/shared/domain/json-text';
import { readError } from './openai/errors.ts';
import { readStream } from './openai/stream.ts';
import { readWhole } from './openai/whole.ts';
import type { Provider, ProviderCall } from './port.ts';
import { wantsPrefixMark } from './prefill.ts';

/** The OpenAI Chat Completions wire format, and everybody who speaks it. */
export const openai: Provider = { request, readStream, readWhole, readError };

function request(call: ProviderCall) {
  const members: Record<string, string> = { model: JSON.stringify(call.model) };
  // Asked for always, for the ledger; shown only to who asked.
  if (call.stream) members['stream_options'] = withUsage(memberText(call.body, 'stream_options'));
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    accept: call.stream ? 'text/event-stream' : 'application/json',
    'user-agent': 'millrace',
  };
  if (call.apiKey !== undefined) headers['authorization'] = `Bearer ${call.apiKey}`;
  if (call.traceparent !== undefined) headers['traceparent'] = call.traceparent;
  if (call.prefill) Object.assign(members, asPrefill(call));
  const { pathname } = new URL(call.baseUrl);
  return {
    path: `${pathname.replace(/\/$/, '')}/chat/completions`,
    headers,
    body: setMembers(call.body, members),
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

function withUsage(streamOptions: string | undefined): string {
  return streamOptions?.startsWith('{')
    ? setMembers(streamOptions, { include_usage: 'true' })
    : '{"include_usage":true}';
}
