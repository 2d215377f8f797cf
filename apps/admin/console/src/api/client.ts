import { signal } from '@preact/signals';
import { noteDate } from './server-clock.ts';

/* All calls of the control plane's API go through here. */

type ErrorDetails = { requestId?: string | undefined; param?: string | undefined };

/** An error of the API, in its own words. */
export class ApiFailure extends Error {
  readonly status: number;
  readonly code: string;
  /** The answer's `x-request-id`, for the logs. */
  readonly requestId: string | undefined;
  /** The field or the parameter that is wrong. */
  readonly param: string | undefined;

  constructor(status: number, code: string, message: string, more: ErrorDetails = {}) {
    super(message);
    this.name = 'ApiFailure';
    this.status = status;
    this.code = code;
    this.requestId = more.requestId;
    this.param = more.param;
  }
}

/** Whether the operator has to log in: an answer said so. The shell shows the form, and the page keeps its state. */
export const needsLogin = signal<'no' | 'first' | 'expired'>('no');

export type CallOptions = {
  method?: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** Sent as JSON, or as YAML if it is a text. */
  body?: unknown;
  signal?: AbortSignal;
};

/** Milliseconds that an answer may take: a report over millions of requests takes seconds. */
const timeoutMs = 60_000;

/**
 * Calls a path below `/admin/`, e.g. `call('fleet')`.
 * @throws ApiFailure; code `unreachable` if no whole answer came, `bad_answer` if it is no JSON.
 */
export async function call<T>(path: string, options: CallOptions = {}): Promise<T> {
  const { method = 'GET', body, signal: given } = options;
  const timeout = AbortSignal.timeout(timeoutMs);
  const response = await fetch(`/admin/${path}`, {
    method,
    headers: {
      accept: 'application/json',
      // The ingress sends no challenge then, so the browser shows no password prompt of its own.
      'x-millrace-console': '1',
      ...(body === undefined
        ? {}
        : { 'content-type': typeof body === 'string' ? 'text/yaml' : 'application/json' }),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    signal: given ? AbortSignal.any([given, timeout]) : timeout,
    cache: 'no-store',
  }).catch(unreachable(given));
  noteDate(response.headers.get('date'));
  const text = await response.text().catch(unreachable(given));
  if (!response.ok) throw failureOf(response, text);
  try {
    return (text === '' ? undefined : JSON.parse(text)) as T;
  } catch {
    throw new ApiFailure(
      response.status,
      'bad_answer',
      'The answer is no JSON: something between this browser and the ingress sent another page.',
    );
  }
}

/** For a call that got no answer, or a part of one; an abort of the caller stays what it is. */
const unreachable = (given: AbortSignal | undefined) => (error: unknown) => {
  if (given?.aborted) throw error;
  throw new ApiFailure(0, 'unreachable', 'The ingress does not answer.');
};

function failureOf(response: Response, text: string): ApiFailure {
  const error = errorIn(text);
  if (response.status === 401 && error.code !== 'wrong_password') {
    needsLogin.value = error.code === 'session_expired' ? 'expired' : 'first';
  }
  return new ApiFailure(
    response.status,
    error.code ?? `status_${response.status}`,
    error.message ?? `The control plane answered with status ${response.status}.`,
    {
      requestId: response.headers.get('x-request-id') ?? undefined,
      param: error.param ?? undefined,
    },
  );
}

type ErrorBody = { code?: string; message?: string; param?: string | null };

function errorIn(text: string): ErrorBody {
  try {
    return (JSON.parse(text) as { error?: ErrorBody }).error ?? {};
  } catch {
    return {};
  }
}

/** A query string with its `?`; empty values are left out. */
export function queryOf(values: Record<string, string | number | undefined>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== '') query.set(name, String(value));
  }
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}
