import { errorOf } from '@millrace/shared/domain/chunk';
import type { OpenAiError } from '@millrace/shared/domain/entry';
import { classifyStatus } from '@millrace/shared/domain/fault';
import type { FaultCode } from '@millrace/shared/domain/fault';
import type { Verdict } from '../port.ts';

/** The error in the body of a response with this status. */
export function readError(
  status: number,
  text: string,
): { code: FaultCode; error: OpenAiError | undefined } {
  const told = errorOf(parse(text));
  const error = told === undefined ? undefined : toOpenAiError(told);
  return { code: classifyStatus(status, error), error };
}

/** The fault that an error inside an answer is. */
export function fromErrorEvent(error: unknown): Verdict {
  const told = toOpenAiError(error);
  // An error inside an answer has no status of its own; some providers name one in it.
  const status = Number(told['status_code'] ?? told['status'] ?? told.code);
  const httpStatus = status >= 400 && status < 600 ? status : 500;
  return {
    kind: 'fault',
    fault: { code: classifyStatus(httpStatus, told), message: told.message, error: told },
  };
}

/** Providers put a string, an object with some of the members, or numbers as codes. */
function toOpenAiError(error: unknown): OpenAiError & Record<string, unknown> {
  if (typeof error !== 'object' || error === null) {
    return { message: String(error), type: 'upstream_error', param: null, code: null };
  }
  const { message, type, param, code } = error as Record<string, unknown>;
  const text = (value: unknown) =>
    typeof value === 'string' || typeof value === 'number' ? String(value) : null;
  return {
    ...error,
    message: text(message) ?? 'The provider reported an error.',
    type: text(type) ?? 'upstream_error',
    param: text(param),
    code: text(code),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
