import type { OpenAiError } from '@millrace/shared/domain/entry';
import type { Fault, FaultCode } from '@millrace/shared/domain/fault';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { faultInAnswer, readErrorBody } from '../errors/read-error.ts';
import type { Asked, ReadError } from '../errors/read-error.ts';
import { saysWhy } from '../errors/reason.ts';
import { errorOf } from '../openai-chat/chunk.ts';
import { finishFault } from './finish.ts';

/** The error in the body of a response with this status: a `google.rpc.Status`, also in an array. */
export function readError(status: number, text: string, asked: Asked = {}): ReadError {
  const read = readErrorBody(status, text, asked);
  const code = ownCode(read.code);
  return { ...read, code, error: read.error && toShown(code, read.error) };
}

/**
 * The fault in an event, or in a body with status 200: an error in place of a part of the answer, a blocked prompt, or
 * an end of the answer that makes it unusable. Undefined if there is none.
 */
export function faultIn(value: JsonObject, asked: Asked = {}): Fault | undefined {
  const error = errorOf(value) ?? (isAnswer(value) || !saysWhy(value) ? undefined : value);
  if (error !== undefined) {
    const fault = faultInAnswer(error, asked);
    const code = ownCode(fault.code);
    return { ...fault, code, ...(fault.error && { error: toShown(code, fault.error) }) };
  }
  return blockedPrompt(value) ?? unusableEnd(value);
}

const isAnswer = (value: JsonObject): boolean =>
  ['candidates', 'usageMetadata', 'promptFeedback'].some((name) => name in value);

/** This format sends no `stream_options`: the message quotes the client's request. */
const ownCode = (code: FaultCode): FaultCode =>
  code === 'stream_options_refused' ? 'upstream_rejected' : code;

/** OpenAI's codes for errors that Google only gives a status. */
const codes: Partial<Record<FaultCode, string>> = {
  upstream_quota_exceeded: 'insufficient_quota',
  upstream_model_not_found: 'model_not_found',
  upstream_auth_failed: 'invalid_api_key',
  upstream_overloaded: 'overloaded',
};

/** Without Google's `details`, which name the operator's project, and `status`. */
function toShown(code: FaultCode, { message, type, param, code: own }: OpenAiError): OpenAiError {
  return { message, type, param, code: own ?? codes[code] ?? null };
}

/** Google blocked the prompt and sends no candidates. */
function blockedPrompt({ promptFeedback, candidates }: JsonObject): Fault | undefined {
  if (!isJsonObject(promptFeedback) || itemsOf(candidates).length > 0) return undefined;
  const { blockReason, blockReasonMessage } = promptFeedback;
  if (typeof blockReason !== 'string' || blockReason === '') return undefined;
  const message =
    typeof blockReasonMessage === 'string' && blockReasonMessage !== ''
      ? blockReasonMessage
      : `The provider blocked the prompt (${blockReason}).`;
  return {
    code: 'content_filtered',
    message,
    httpStatus: 400,
    error: { message, type: 'invalid_request_error', param: 'messages', code: 'content_filter' },
  };
}

function unusableEnd({ candidates }: JsonObject): Fault | undefined {
  for (const candidate of itemsOf(candidates)) {
    if (!isJsonObject(candidate)) continue;
    const { finishReason: reason, finishMessage: told } = candidate;
    const code = finishFault(reason);
    if (!code) continue;
    const why = typeof told === 'string' && told !== '' ? `: ${told}` : '.';
    return { code, message: `The provider ended the answer with ${String(reason)}${why}` };
  }
  return undefined;
}
