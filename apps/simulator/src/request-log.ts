import { EventEmitter } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { exactTime } from './clock.ts';

export type RequestState = 'open' | 'finished' | 'aborted by client' | 'cut by simulator';

/** One request to the simulated provider. All times are milliseconds since 1970. */
export interface LoggedRequest {
  /** Counts up from 1 over the life of the simulator. */
  readonly number: number;
  readonly time: number;
  /** When its head arrived, with fractions of a millisecond; see `exactTime`. */
  readonly arrivedAt: number;
  readonly method: string;
  readonly path: string;
  readonly model: string;
  /** Keys and tokens are masked except for their last four characters. */
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
  readonly rawBody: string;
  /** Requests with the same number used the same connection. */
  readonly socket: number;
  readonly state: RequestState;
  /** The HTTP status, once it was sent. */
  readonly status: number | undefined;
  /** Deltas that were written to the socket. */
  readonly tokens: number;
  readonly firstTokenAt: number | undefined;
  readonly endedAt: number | undefined;
  /** When it was no longer open, whichever side closed it, on the clock of `arrivedAt`. */
  readonly closedAt: number | undefined;
}

/** The log's writable view of an entry; all others only read it. */
export type OpenRequest = { -readonly [K in keyof LoggedRequest]: LoggedRequest[K] };

export interface RequestEvents {
  request: [LoggedRequest];
  token: [LoggedRequest];
  /** The answer was sent to its end, or cut intentionally. */
  finished: [LoggedRequest];
  /** The client left before the end. */
  closed: [LoggedRequest];
}

export interface WaitOptions {
  /** @defaultValue 10000 */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

interface Waiter {
  readonly predicate: (request: LoggedRequest) => boolean;
  readonly resolve: (request: LoggedRequest) => void;
}

/** Keeps the newest requests, bounded by their number and by the bytes of their bodies. */
export class RequestLog {
  readonly events = new EventEmitter<RequestEvents>();
  readonly #waiters = new Set<Waiter>();
  readonly #maxRequests: number;
  readonly #maxBytes: number;
  #entries: OpenRequest[] = [];
  #bytes = 0;
  #count = 0;

  constructor(maxRequests: number, maxBytes: number) {
    this.#maxRequests = maxRequests;
    this.#maxBytes = maxBytes;
    this.events.setMaxListeners(0);
  }

  get requests(): readonly LoggedRequest[] {
    return this.#entries;
  }

  nextNumber(): number {
    this.#count += 1;
    return this.#count;
  }

  add(entry: OpenRequest): void {
    this.#entries.push(entry);
    this.#bytes += entry.rawBody.length;
    // Trims at a quarter above the bound, because removing entries one by one would move the list each time.
    if (this.#entries.length > this.#maxRequests * 1.25 || this.#bytes > this.#maxBytes)
      this.#trim();
    this.#tell('request', entry);
  }

  token(entry: OpenRequest, count: number): void {
    entry.firstTokenAt ??= Date.now();
    entry.tokens += count;
    this.#tell('token', entry);
  }

  end(entry: OpenRequest, state: Exclude<RequestState, 'open'>): void {
    if (entry.state !== 'open') return;
    entry.state = state;
    entry.endedAt = Date.now();
    entry.closedAt = exactTime();
    this.#tell(state === 'aborted by client' ? 'closed' : 'finished', entry);
  }

  /** The simulator stops: open requests were not left by their clients. */
  endAll(): void {
    for (const entry of this.#entries) this.end(entry, 'cut by simulator');
  }

  clear(): void {
    this.#entries = [];
    this.#bytes = 0;
  }

  /**
   * The first request, already logged or later, for which the predicate holds; it is evaluated again at each
   * event. Rejects after the timeout, or with the signal's reason.
   */
  async waitFor(
    predicate: (request: LoggedRequest) => boolean,
    { timeoutMs = 30_000, signal }: WaitOptions = {},
  ): Promise<LoggedRequest> {
    signal?.throwIfAborted();
    const found = this.#entries.find(predicate);
    if (found !== undefined) return found;
    const { promise, resolve, reject } = Promise.withResolvers<LoggedRequest>();
    const waiter: Waiter = { predicate, resolve };
    const late = setTimeout(() => {
      const states = this.#entries.slice(-5).map(({ model, state }) => `${model}: ${state}`);
      const seen = `${this.#entries.length} logged, the last: ${states.join('; ') || 'none'}`;
      reject(new Error(`no such request at the simulated provider in ${timeoutMs} ms (${seen})`));
    }, timeoutMs);
    const abort = (): void => reject(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    this.#waiters.add(waiter);
    try {
      return await promise;
    } finally {
      this.#waiters.delete(waiter);
      clearTimeout(late);
      signal?.removeEventListener('abort', abort);
    }
  }

  #trim(): void {
    let from = Math.max(0, this.#entries.length - this.#maxRequests);
    let bytes = this.#entries.slice(from).reduce((sum, { rawBody }) => sum + rawBody.length, 0);
    // The newest entry stays, however large: a test may be waiting for it.
    while (bytes > this.#maxBytes && from < this.#entries.length - 1) {
      bytes -= this.#entries[from]?.rawBody.length ?? 0;
      from += 1;
    }
    this.#entries = this.#entries.slice(from);
    this.#bytes = bytes;
  }

  #tell(event: keyof RequestEvents, entry: LoggedRequest): void {
    this.events.emit(event, entry);
    for (const waiter of this.#waiters) {
      if (waiter.predicate(entry)) waiter.resolve(entry);
    }
  }
}

/** Headers without secrets: only their last four characters. */
export function redactedHeaders(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const shown = { ...headers };
  for (const name of [
    'authorization',
    'x-api-key',
    'x-goog-api-key',
    'api-key',
    'proxy-authorization',
  ]) {
    const value = shown[name];
    if (typeof value === 'string') shown[name] = `…${value.length > 8 ? value.slice(-4) : ''}`;
  }
  return shown;
}
