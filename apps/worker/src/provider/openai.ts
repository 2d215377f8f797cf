import { errorOf, finishReasons, usageOf } from '@millrace/shared/domain/chunk';
import type { Fault } from '@millrace/shared/domain/fault';
import { memberText, setMembers } from '@millrace/shared/domain/json-text';
import { fromErrorEvent, readError } from './openai/errors.ts';
import { readStream } from './openai/stream.ts';
import type { Provider, ProviderCall, Verdict } from './port.ts';
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

function readWhole(text: string): Verdict {
  const answer = parse(text);
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) {
    return fault(
      'upstream_invalid_response',
      'The provider answered with something that is no JSON object.',
    );
  }
  const error = errorOf(answer);
  if (error !== undefined) return fromErrorEvent(error);
  const first = finishReasons(answer)[0];
  return { kind: 'completed', finishReason: first?.reason ?? null, usage: usageOf(answer) };
}

const fault = (code: Fault['code'], message: string): Verdict => ({
  kind: 'fault',
  fault: { code, message },
});

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
