import { CommandFailed } from '../io.ts';
import { duration } from '../output/format.ts';
import type { Access } from './access.ts';

/** An answer with a status that is not 2xx. */
export class Refused extends CommandFailed {
  readonly status: number;
  readonly code: string | undefined;

  constructor(message: string, status: number, code: string | undefined) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** No ingress answered. */
export class Unreachable extends CommandFailed {}

export type Ingress = {
  readonly urls: readonly string[];
  /** Throws Refused or Unreachable. */
  getJson<T>(path: string, query?: Query): Promise<T>;
  post<T>(path: string, body?: object): Promise<T>;
  patch<T>(path: string, body: object): Promise<T>;
  remove<T>(path: string): Promise<T>;
  /** Passes a body on as it arrives. */
  download(path: string, query: Query, write: (text: string) => Promise<void>): Promise<void>;
  /** As it is, whatever its status; throws Unreachable. */
  open(path: string, options?: OpenOptions): Promise<Answer>;
};

/** `ingress`: the URL of the one that answered. */
export type Answer = Response & { ingress: string };

export type Query = Readonly<Record<string, string | number | undefined>>;

export type OpenOptions = {
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Is sent as JSON. */
  body?: object | undefined;
  headers?: Readonly<Record<string, string>>;
  /** The path is one of clients: an API key will do. */
  asClient?: boolean;
  /** The place in `urls` of the ingress that is asked first. @defaultValue 0 */
  from?: number;
};

/** Milliseconds until an ingress has to begin its answer; longer than it waits for Redis. */
const headMs = 15_000;
/** The same for a query of the ledger; longer than an ingress waits for the control plane (60 s). */
const queryMs = 65_000;

const isQuery = (path: string): boolean => /^\/admin\/(usage|requests)\b/.test(path);

class Late extends Error {}

export function connect(
  { urls, admin, apiKey }: Access,
  signal: AbortSignal,
  limits = { headMs, queryMs },
): Ingress {
  const basic = admin && Buffer.from(`${admin.user}:${admin.password}`).toString('base64');

  function credentials(asClient: boolean): Record<string, string> {
    if (asClient && apiKey !== undefined) return { authorization: `Bearer ${apiKey}` };
    return basic === undefined ? {} : { authorization: `Basic ${basic}` };
  }

  async function open(path: string, options: OpenOptions = {}) {
    const { method = 'GET', body, headers = {}, asClient = false, from = 0 } = options;
    const reasons: string[] = [];
    for (let i = 0; i < urls.length; i += 1) {
      const url = urls[(from + i) % urls.length] ?? '';
      try {
        const patienceMs = isQuery(path) ? limits.queryMs : limits.headMs;
        const response = await headWithin(patienceMs, url + path, {
          method,
          headers: {
            ...credentials(asClient),
            ...(body && { 'content-type': 'application/json' }),
            ...headers,
          },
          ...(body && { body: JSON.stringify(body) }),
        });
        return Object.assign(response, { ingress: url });
      } catch (error) {
        if (signal.aborted) throw error;
        reasons.push(`${url}: ${whyUnreachable(error)}`);
        // Another ingress would start the query once more, or make the change twice.
        if (error instanceof Late && (method !== 'GET' || isQuery(path))) break;
      }
    }
    throw new Unreachable(`no ingress answers: ${reasons.join('; ')} (--url or MILLRACE_URL)`);
  }

  /** The time limit is for the head only: a stream may last. */
  async function headWithin(ms: number, url: string, init: RequestInit): Promise<Response> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Late(`no answer within ${duration(ms)}`)), ms);
    try {
      return await fetch(url, { ...init, signal: AbortSignal.any([signal, late.signal]) });
    } finally {
      clearTimeout(timer);
    }
  }

  async function json<T>(response: Answer): Promise<T> {
    await refuseUnless(response);
    return readJson<T>(response, signal);
  }

  return {
    urls,
    open,
    getJson: async (path, query = {}) => json(await open(path + search(query))),
    post: async (path, body) => json(await open(path, { method: 'POST', body })),
    patch: async (path, body) => json(await open(path, { method: 'PATCH', body })),
    remove: async (path) => json(await open(path, { method: 'DELETE' })),
    async download(path, query, write) {
      const response = await open(path + search(query));
      await refuseUnless(response);
      const text = response.body?.pipeThrough(new TextDecoderStream());
      try {
        for await (const part of text ?? []) await write(part);
      } catch (error) {
        throw signal.aborted ? error : brokeOff(response, error);
      }
    },
  };
}

/** The JSON of an answer with any status. Throws Unreachable if it breaks off, or is no JSON. */
export async function readJson<T>(response: Answer, signal?: AbortSignal): Promise<T> {
  let text: string;
  try {
    text = await response.text();
  } catch (error) {
    throw signal?.aborted ? error : brokeOff(response, error);
  }
  try {
    return JSON.parse(text) as T;
  } catch {
    const { ingress, status } = response;
    throw new Unreachable(`${ingress} answers ${status} without JSON: is it an ingress?`);
  }
}

const brokeOff = ({ ingress }: Answer, error: unknown): Unreachable =>
  new Unreachable(`the answer of ${ingress} broke off: ${whyUnreachable(error)}`);

function search(query: Query): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) given.set(name, String(value));
  }
  return given.size === 0 ? '' : `?${given.toString()}`;
}

/** Throws Refused, with the words of the ingress and what the operator can do. */
export async function refuseUnless(response: Response): Promise<void> {
  if (response.ok) return;
  const text = await response.text().catch(() => '');
  const { message, code } = errorOf(text);
  const said = message ?? `status ${response.status}`;
  const hint = response.status === 401 || response.status === 403 ? credentialsHint : '';
  throw new Refused(said + hint, response.status, code);
}

const credentialsHint =
  ' (for the admin API: --admin-user with MILLRACE_ADMIN_PASSWORD; for tail also MILLRACE_API_KEY)';

function errorOf(text: string): { message: string | undefined; code: string | undefined } {
  try {
    const { error } = JSON.parse(text) as { error?: { message?: string; code?: string } };
    return { message: error?.message, code: error?.code };
  } catch {
    return { message: undefined, code: undefined };
  }
}

/** Node wraps the system's error in a `TypeError: fetch failed`. */
function whyUnreachable(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  if (code === 'ECONNREFUSED') return 'nothing listens there';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'the host name cannot be resolved';
  return code || (cause instanceof Error ? cause.message : String(cause));
}
