import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { controlPlaneRequest } from '@millrace/shared/store/control-plane';

/** The id that the ingress sends as `x-request-id` with the answer; one of its own for a caller that is no ingress. */
export const requestIdOf = (headers: IncomingHttpHeaders): string =>
  String(headers[controlPlaneRequest] ?? randomUUID());

/** An error of the admin API: its status, and its body in the form that all of Millrace's errors have. */
export class AdminError extends Error {
  override readonly name = 'AdminError';
  readonly status: number;
  readonly code: string;
  readonly param: string | null;

  constructor(status: number, code: string, message: string, param: string | null = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
  }

  /** `id`: the `x-request-id` of the answer. */
  bodyFor(id: string) {
    const type = this.status >= 500 ? 'server_error' : 'invalid_request_error';
    const { message, param, code } = this;
    return { error: { message, type, param, code, request_id: id } };
  }
}

export const badParameter = (name: string, message: string): AdminError =>
  new AdminError(400, 'invalid_parameter', `${name}: ${message}`, name);

/** `name`: empty for the body as a whole. */
export const badField = (name: string, message: string): AdminError =>
  new AdminError(400, 'invalid_value', name === '' ? message : `${name}: ${message}`, name || null);
