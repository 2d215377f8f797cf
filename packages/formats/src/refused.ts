import type { OpenAiError } from '@millrace/shared/domain/entry';
import type { Fault } from '@millrace/shared/domain/fault';

/**
 * The request needs something that the target's format cannot express. Thrown inside a translation, and
 * converted to a value at its end.
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

/** OpenAI's own codes, for a member and for its value. */
export type RefusalCode = 'unsupported_parameter' | 'unsupported_value' | 'invalid_value';

/** The fault as if the provider had rejected the request, which it never gets: other targets may accept it. */
export function refusalFault({ param, code, message }: RefusedError): Fault {
  const error: OpenAiError = { message, type: 'invalid_request_error', param: param || null, code };
  return { code: 'target_unsuited', message, httpStatus: 400, error };
}

/** A member of the request is of a wrong kind. `param`: its path. */
export const invalid = (param: string, rule: string): RefusedError =>
  new RefusedError(param, `'${param}' ${rule}.`, 'invalid_value');
