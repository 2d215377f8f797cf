import { isJsonObject } from '@millrace/shared/domain/json';
import type { Fault, FaultCode } from '@millrace/shared/domain/fault';
import { faultInAnswer, readErrorBody, withRetryAfter } from '../errors/read-error.ts';
import type { ReadError } from '../errors/read-error.ts';
import { saysWhy } from '../errors/reason.ts';
import type { AnsweredCall, ErrorResponse } from '../port.ts';
import { errorOf } from './chunk.ts';
import { addsStreamOptions } from './stream-options.ts';

/** The error in a response with an error status. */
export function readError({ status, headers, text }: ErrorResponse, call: AnsweredCall): ReadError {
  const read = readErrorBody(status, text, { body: call.body });
  return withRetryAfter({ ...read, code: codeFor(read.code, call) }, headers);
}

/**
 * The fault of an error inside an answer: the body of a response with a success status, or an event of a
 * stream, which `event` names. Undefined if there is no error.
 */
export function faultIn(answer: unknown, call: AnsweredCall, event?: string): Fault | undefined {
  const error = errorInJson(answer, event);
  if (error === undefined) return undefined;
  const fault = faultInAnswer(error, { body: call.body });
  return { ...fault, code: codeFor(fault.code, call) };
}

function errorInJson(answer: unknown, event: string | undefined): unknown {
  const error = errorOf(answer);
  if (error !== undefined) return error;
  // The data of an event with this name is always an error.
  if (event === 'error') return answer;
  const mayBe = event === undefined || event === 'message';
  return mayBe && isJsonObject(answer) && !('choices' in answer) && saysWhy(answer)
    ? answer
    : undefined;
}

/** A rejection of `stream_options` concerns what we add only if the client sent none. */
const codeFor = (code: FaultCode, call: AnsweredCall): FaultCode =>
  code === 'stream_options_refused' && !addsStreamOptions(call) ? 'upstream_rejected' : code;
