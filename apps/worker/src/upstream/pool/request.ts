import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { UpstreamError } from '../faults.ts';
import { NotSent } from './connection.ts';
import type { Connection } from './connection.ts';

/** What a request reports to its pool. */
export type RequestEvents = {
  /** It was not sent on this connection and needs another one. */
  onNotSent(request: PooledRequest, lost: Connection, why: NotSent): void;
  /** It no longer uses the connection. */
  onDone(connection: Connection, answered: boolean): void;
  /** It was aborted while it waited. */
  onAborted(request: PooledRequest): void;
  /** A connection that had never served was dead: others like it may be, too. */
  onStale(): void;
};

/** Milliseconds without use after which a provider, or a middlebox, may have dropped a connection. */
const longIdleMs = 1000;

/** Whether the connection was idle for so long that its end may be on the way. `now`: by the pool's clock. */
export const isLongIdle = ({ idleSince }: Connection, now: number): boolean =>
  now - idleSince >= longIdleMs;

/**
 * One request in the pool: undici's handler for the connection, and the controller for the caller, who can
 * abort it at any time. It is a single object without closures, because every request creates one.
 */
export class PooledRequest implements Dispatcher.DispatchHandler, Dispatcher.DispatchController {
  readonly options: Dispatcher.DispatchOptions;
  /** Since when it waits for a connection, by the pool's clock. */
  waitingSince = 0;
  waitTimer: NodeJS.Timeout | undefined;
  /** Penalty points for connections that were lost before it was sent (`retry-allowance.ts`). */
  losses = 0;
  aborted = false;
  paused = false;
  reason: Error | null = null;
  private readonly caller: Dispatcher.DispatchHandler;
  private readonly events: RequestEvents;
  private connection: Connection | undefined;
  private control: Dispatcher.DispatchController | undefined;
  /** The connection had served or been idle before. */
  private wasKept = false;
  private bytesBefore = 0;
  private heard = false;
  private over = false;

  constructor(
    options: Dispatcher.DispatchOptions,
    caller: Dispatcher.DispatchHandler,
    events: RequestEvents,
  ) {
    this.options = options;
    this.caller = caller;
    this.events = events;
  }

  start(): void {
    this.caller.onRequestStart?.(this, {});
  }

  sendOn(connection: Connection, now: number): void {
    this.connection = connection;
    // If several requests share the connection, received bytes prove nothing, and it was not idle.
    this.wasKept =
      connection.active === 1 && (connection.served > 0 || isLongIdle(connection, now));
    this.bytesBefore = connection.bytesRead;
    connection.send(this.options, this);
  }

  /** Fails the request without a connection. */
  fail(error: Error): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.waitTimer);
    this.caller.onResponseError?.(this, error);
  }

  abort(reason: Error): void {
    if (this.over || this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    if (this.control) this.control.abort(reason);
    else if (!this.connection) {
      this.events.onAborted(this);
      this.fail(reason);
    }
    // Otherwise it is aborted in `onRequestStart`, which follows at once.
  }

  pause(): void {
    this.paused = true;
    this.control?.pause();
  }

  resume(): void {
    this.paused = false;
    this.control?.resume();
  }

  gather(on: boolean): void {
    this.connection?.gather?.(on);
  }

  onRequestStart(control: Dispatcher.DispatchController): void {
    this.control = control;
    if (this.aborted) control.abort(this.reason ?? new Error('aborted'));
    else if (this.paused) control.pause();
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    this.heard = true;
    if (!this.over) this.caller.onResponseStart?.(this, status, headers);
  }

  onResponseData(_: Dispatcher.DispatchController, bytes: Buffer): void {
    if (!this.over) this.caller.onResponseData?.(this, bytes);
  }

  onResponseEnd(_: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    if (!this.leave(true) || this.over) return;
    this.over = true;
    this.caller.onResponseEnd?.(this, trailers);
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    const connection = this.connection;
    if (!connection || !this.leave(false)) return;
    if (error instanceof NotSent && !this.aborted) this.events.onNotSent(this, connection, error);
    else this.fail(this.aborted ? (this.reason ?? error) : this.errorOf(connection, error));
  }

  private leave(answered: boolean): boolean {
    const { connection } = this;
    if (!connection) return false;
    this.connection = undefined;
    this.control = undefined;
    this.events.onDone(connection, answered);
    return true;
  }

  /**
   * A reused connection that closes without a byte of the response was closed by the provider while it was
   * idle: the request crossed the close. On a fresh connection the same is a reset.
   */
  private errorOf(connection: Connection, error: Error): Error {
    const isSilent = !this.heard && connection.bytesRead === this.bytesBefore;
    // Other requests may share the connection by now.
    const isAlone = connection.active === 1;
    const isStale = this.wasKept && isAlone && isSilent && !connection.isOpen;
    if (!isStale) return connection.failure ?? error;
    // The next attempt must use a new connection: then a provider that resets every connection cannot look
    // stale again.
    if (connection.served === 0) this.events.onStale();
    const message =
      'The provider had closed the kept connection on which the request was sent; it never answered there.';
    return new UpstreamError('upstream_connection_stale', message, error);
  }
}
