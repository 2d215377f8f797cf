import type { ConnectionView } from '@millrace/shared/domain/inquiry';
import type { Fault } from '@millrace/shared/domain/fault';
import type { PoolConfig } from '@millrace/shared/config';
import type { Dispatcher } from 'undici';
import type { Gathering } from '../../coalescing/gathering.ts';
import { connectError, UpstreamError } from '../faults.ts';
import { lookAgainMs, watchAddresses } from './addresses.ts';
import { longStandingMs, warmDelayMs } from './backoff.ts';
import type { Connection, ConnectionEvents } from './connection.ts';
import { createH1 } from './h1.ts';
import { createH2, maxStreams } from './h2.ts';
import { keepWarm } from './keep-warm.ts';
import { createConnectionQueue } from './connection-queue.ts';
import { openConnection } from './open.ts';
import type { Endpoint, Opened } from './open.ts';
import { isLongIdle, PooledRequest } from './request.ts';
import type { RequestEvents } from './request.ts';
import {
  countClose,
  countConnect,
  countConnectFailure,
  createCounters,
  readStats,
} from './stats.ts';
import type { PoolCounters, PoolStats } from './stats.ts';
import { createIdleList } from './idle-list.ts';
import { countLoss } from './retry-allowance.ts';
import { sweepIdle, sweepIntervalMs } from './sweep.ts';

export type PoolOptions = {
  origin: string;
  endpoint: Endpoint;
  config: PoolConfig;
  /** The request that keeps a warm connection open shortly before it would be closed as idle; absent: none. */
  models?: Dispatcher.DispatchOptions;
  onConnect?: (event: ConnectEvent) => void;
  /** `losses`: consecutive ones, including this one. */
  onConnectFailure?: (fault: Fault, losses: number) => void;
  /** Controls how sockets are read while this process is late; absent: no change. */
  gathering?: Gathering | undefined;
  /** Counts on with the counters of the pool that this one replaces. */
  counters?: PoolCounters | undefined;
  /** Milliseconds; default `lookAgainMs`. */
  dnsIntervalMs?: number;
  random?: () => number;
};

/** A connection was opened. */
export type ConnectEvent = {
  /** A request was waiting for it, so the request's time includes the opening. */
  inPath: boolean;
  /** Milliseconds from the start to the end of the handshake. */
  ms: number;
  protocol: 'h1' | 'h2';
  tls: boolean;
  resumed: boolean;
};

/** The connections of this worker to one provider. */
export type Pool = {
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void;
  /** Opens `config.warm` connections and keeps them open. Idempotent. */
  warm(): void;
  /** Whether one more request would have to wait for another one to end. */
  isFull(): boolean;
  /**
   * Reserves room for a request that is dispatched later, because its attempt is logged first. Returns the
   * function that releases the room; call it right before the dispatch, or instead of it. Idempotent.
   */
  reserve(): () => void;
  stats(): PoolStats;
  /** At most so many of its connections, those being opened included. */
  look(most: number): ConnectionView[];
  readonly counters: PoolCounters;
  /**
   * The provider has been removed, or has another pool: it still serves the requests of runs that began before, and keeps no
   * connection without one. Idempotent.
   */
  retire(): void;
  /** Closes all connections at once. Idempotent. */
  close(): void;
};

export const createPool = (options: PoolOptions): Pool => new ProviderPool(options);

/**
 * The pool of one provider. It has one rule, `pump`: after every change, serve waiting requests and open
 * connections.
 */
class ProviderPool implements Pool {
  private readonly options: PoolOptions;
  private readonly config: PoolConfig;
  readonly counters: PoolCounters;
  private readonly connections = new Set<Connection>();
  /** Connections that are being opened, and since when. */
  private readonly connecting = new Map<AbortController, number>();
  private readonly idleList: ReturnType<typeof createIdleList>;
  private readonly queue: ReturnType<typeof createConnectionQueue>;
  private readonly names: ReturnType<typeof watchAddresses>;
  /**
   * Requests that a new connection is expected to carry, judging by the last one; at first an optimistic
   * assumption.
   */
  private carries: number;
  /** Reserved requests that are not dispatched yet. */
  private reserved = 0;
  private keeping = false;
  private closed = false;
  private retired = false;
  /** Consecutive connections that failed, or closed before they had served. */
  private losses = 0;
  private warmTimer: NodeJS.Timeout | undefined;
  private sweepTimer: NodeJS.Timeout | undefined;

  constructor(options: PoolOptions) {
    const { config } = options;
    this.options = options;
    this.config = config;
    this.counters = options.counters ?? createCounters();
    this.carries = config.http2 ? maxStreams : 1;
    this.idleList = createIdleList({ lifetimeMs: config.lifetimeMs, now });
    this.queue = createConnectionQueue({
      waitMs: config.waitMs,
      now,
      counters: this.counters,
      onTheWay: () => this.onTheWay,
    });
    this.names = this.watchNames();
  }

  dispatch(given: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    const request = new PooledRequest(given, handler, this.requestEvents);
    this.counters.requests += 1;
    request.start();
    if (!request.aborted) this.dispatchOrQueue(request);
  }

  warm(): void {
    this.keeping = true;
    this.pump();
  }

  isFull(): boolean {
    const { connections, connecting, idleList, queue } = this;
    const unopened = this.config.connections - connections.size - connecting.size;
    let spare = unopened * this.carries + this.onTheWay - queue.size - this.reserved;
    // `top()` drops connections that are closed or too old.
    if (idleList.top() === undefined) return spare <= 0;
    for (const { capacity, active } of idleList.free) {
      if (spare > 0) break;
      spare += capacity - active;
    }
    return spare <= 0;
  }

  reserve(): () => void {
    let isKept = true;
    this.reserved += 1;
    return () => {
      if (isKept) this.reserved -= 1;
      isKept = false;
    };
  }

  stats(): PoolStats {
    const { counters, connections, connecting, queue } = this;
    return readStats(counters, connections, {
      connecting: connecting.size,
      waiting: queue.size,
      limit: this.config.connections,
    });
  }

  look(most: number): ConnectionView[] {
    const at = now();
    const views: ConnectionView[] = [];
    for (const { active, served, openedAt, idleSince } of this.connections) {
      if (views.length >= most) return views;
      const age = { requests: served, ageMs: at - openedAt };
      views.push(
        active > 0
          ? { state: 'active', ...age }
          : { state: 'idle', ...age, idleMs: at - idleSince },
      );
    }
    for (const since of this.connecting.values()) {
      if (views.length >= most) return views;
      views.push({ state: 'connecting', requests: 0, ageMs: at - since });
    }
    return views;
  }

  retire(): void {
    this.retired = true;
    this.keeping = false;
    clearTimeout(this.warmTimer);
    for (const one of this.connections) if (one.active === 0) this.idleList.retire(one, 'shutdown');
  }

  close(): void {
    const { connecting, connections, queue } = this;
    this.closed = true;
    clearTimeout(this.warmTimer);
    for (const attempt of connecting.keys()) attempt.abort(notNeeded);
    for (const one of connections) one.close('shutdown');
    for (let request = queue.next(); request; request = queue.next()) request.fail(shutDown);
  }

  /** Requests that the connections being opened will carry. */
  private get onTheWay(): number {
    return this.connecting.size * this.carries;
  }

  private get hasRoom(): boolean {
    return this.connections.size + this.connecting.size < this.config.connections;
  }

  /** Whether fewer connections are open, or being opened, than configured as warm. */
  private get isShort(): boolean {
    return this.keeping && this.connections.size + this.connecting.size < this.config.warm;
  }

  private watchNames() {
    const { endpoint, dnsIntervalMs = lookAgainMs } = this.options;
    const host = endpoint.proxy?.host ?? endpoint.host;
    return watchAddresses(
      { host, lookup: endpoint.lookup, everyMs: dnsIntervalMs },
      (addresses) => {
        for (const one of this.connections) {
          if (!addresses.has(one.address())) this.idleList.retire(one, 'dns');
        }
      },
    );
  }

  private readonly requestEvents: RequestEvents = {
    onStale: () => {
      const isSuspect = (one: Connection) =>
        one.active === 0 && one.served === 0 && isLongIdle(one, now());
      for (const one of this.idleList.free.filter(isSuspect)) this.idleList.retire(one, 'idle');
    },
    onNotSent: (request, lost, why) => {
      const error = countLoss(request, lost, why);
      if (error) request.fail(error);
      else this.dispatchOrQueue(request);
    },
    onDone: (one, answered) => {
      if (answered) {
        one.served += 1;
        this.losses = 0;
      }
      // undici reports the end of a response before it closes a connection that cannot be reused.
      queueMicrotask(() => this.release(one));
    },
    onAborted: (request) => {
      this.queue.leave(request);
      const needed = Math.max(
        Math.ceil(this.queue.size / this.carries),
        this.keeping ? this.config.warm - this.connections.size : 0,
      );
      for (const attempt of [...this.connecting.keys()].slice(Math.max(0, needed))) {
        attempt.abort(notNeeded);
      }
    },
  };

  private readonly connectionEvents: ConnectionEvents = {
    onClose: (one, reason) => {
      // A connection that closes before it is listed counts as a failed attempt.
      if (!this.connections.delete(one)) return;
      this.idleList.remove(one);
      countClose(this.counters, one, reason, now());
      const isLoss = one.served === 0 && (reason === 'peer' || reason === 'error');
      if (isLoss) this.losses = now() - one.openedAt < longStandingMs ? this.losses + 1 : 0;
      if (this.connections.size === 0) {
        this.names.stop();
        clearInterval(this.sweepTimer);
        this.sweepTimer = undefined;
      }
      this.pump();
    },
    onChange: (one) => {
      if (!this.connections.has(one)) return;
      this.idleList.sort(one);
      this.pump();
    },
  };

  private dispatchOrQueue(request: PooledRequest): void {
    const one = this.closed || this.queue.size > 0 ? undefined : this.idleList.top();
    if (this.closed) request.fail(shutDown);
    else if (one) this.assign(request, one);
    else {
      this.queue.join(request);
      this.pump();
    }
  }

  private assign(request: PooledRequest, one: Connection): void {
    this.idleList.occupy(one);
    request.sendOn(one, now());
  }

  private release(one: Connection): void {
    one.active -= 1;
    one.idleSince = now();
    if (!this.connections.has(one)) return;
    this.idleList.sort(one);
    this.pump();
    if (this.retired && one.active === 0) this.idleList.retire(one, 'shutdown');
  }

  private pump(): void {
    if (this.closed) return;
    const { queue, idleList } = this;
    const best = () => (queue.size > 0 ? idleList.top() : undefined);
    for (let one = best(); one; one = best()) {
      const request = queue.next();
      if (request) this.assign(request, one);
    }
    while (queue.size > this.onTheWay && this.hasRoom) void this.open();
    while (this.losses === 0 && this.isShort && this.hasRoom) void this.open();
    if (this.isShort && this.hasRoom && !this.warmTimer) this.warmLater();
  }

  private warmLater(): void {
    const { random = Math.random } = this.options;
    const act = () => {
      this.warmTimer = undefined;
      if (this.isShort && this.hasRoom) void this.open();
    };
    this.warmTimer = setTimeout(act, warmDelayMs(this.losses, random())).unref();
  }

  private async open(): Promise<void> {
    const attempt = new AbortController();
    const since = now();
    this.connecting.set(attempt, since);
    try {
      const { opened, connection } = await openConnection(this.options.endpoint, attempt, (one) =>
        this.speak(one, attempt.signal),
      );
      this.connecting.delete(attempt);
      this.onOpen(opened, connection, now() - since);
    } catch (error) {
      this.connecting.delete(attempt);
      if (error !== notNeeded) this.onConnectFailure(error as Error);
    }
    this.pump();
  }

  private speak(opened: Opened, signal: AbortSignal) {
    const { origin, gathering } = this.options;
    const longestIdleMs = this.config.lifetimeMs;
    return opened.protocol === 'h2'
      ? createH2(opened, { origin, now, signal }, this.connectionEvents)
      : createH1(opened, { origin, longestIdleMs, gathering, now }, this.connectionEvents);
  }

  private onOpen(opened: Opened, connection: Connection, ms: number): void {
    const { protocol, tls, resumed } = opened;
    countConnect(this.counters, opened);
    this.carries = Math.max(1, connection.capacity);
    this.connections.add(connection);
    this.options.onConnect?.({ inPath: this.queue.size > 0, ms, protocol, tls, resumed });
    if (this.closed) connection.close('shutdown');
    this.names.start();
    const everyMs = sweepIntervalMs(this.config.idleTimeoutMs);
    this.sweepTimer ??= setInterval(() => this.sweep(), everyMs).unref();
    this.idleList.sort(connection);
  }

  private onConnectFailure(error: Error): void {
    const known = connectError(error, 'The provider');
    this.losses += 1;
    countConnectFailure(this.counters, known.fault.code);
    this.options.onConnectFailure?.(known.fault, this.losses);
    // The connection was for the requests that have waited longest, unless enough others are being opened.
    for (let i = 0; i < this.carries && this.queue.size > this.onTheWay; i++) {
      this.queue.next()?.fail(i === 0 ? known : known.echo());
    }
  }

  private sweep(): void {
    const { idleList, connections, config, counters } = this;
    const { models } = this.options;
    const { free } = idleList;
    const { close, ask } = sweepIdle({ free, size: connections.size, config, now: now() });
    for (const [one, reason] of close) idleList.retire(one, reason);
    for (const one of models ? ask : []) {
      counters.keepWarm += 1;
      idleList.occupy(one);
      idleList.remove(one);
      const onDone = () => queueMicrotask(() => this.release(one));
      keepWarm(one, models!, config.connectTimeoutMs, onDone);
    }
  }
}

const now = (): number => performance.now();

/** The abort reason for opening a connection that no request needs any more: not a failure. */
const notNeeded = new UpstreamError(
  'upstream_unreachable',
  'No request needs the connection any more.',
);
const shutDown = new UpstreamError(
  'upstream_unreachable',
  'This worker is closing its connections.',
);
