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

  get body() {
    const type = this.status >= 500 ? 'server_error' : 'invalid_request_error';
    return { error: { message: this.message, type, param: this.param, code: this.code } };
  }
}

export const badParameter = (name: string, message: string): AdminError =>
  new AdminError(400, 'invalid_parameter', `${name}: ${message}`, name);

/** `name`: empty for the body as a whole. */
export const badField = (name: string, message: string): AdminError =>
  new AdminError(400, 'invalid_value', name === '' ? message : `${name}: ${message}`, name || null);
