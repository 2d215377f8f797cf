import type { OpenAiError } from '@millrace/shared/domain/entry';
import type { Fault } from '@millrace/shared/domain/fault';

/**
 * The request asks for something that Anthropic's format cannot say. Thrown from the depths of a
 * translation, and made a value where it ends.
 */
export class RefusedError extends Error {
  readonly param: string;
  readonly code: RefusalCode;

  constructor(param: string, message: string, code: RefusalCode = 'unsupported_value') {
    super(message);
    this.name = 'RefusedError';
    this.param = param;
    this.code = code;
  }
}

/** OpenAI's own codes, for a member as such and for what is in it. */
export type RefusalCode = 'unsupported_parameter' | 'unsupported_value' | 'invalid_value';

/** As if the provider itself had refused the request, which it never sees: others may take it. */
export function refusalFault({ param, code, message }: RefusedError): Fault {
  const error: OpenAiError = { message, type: 'invalid_request_error', param: param || null, code };
  return { code: 'target_unsuited', message, httpStatus: 400, error };
}
