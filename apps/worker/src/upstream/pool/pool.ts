import type { Fault } from '@millrace/shared/domain/fault';
import type { PoolConfig } from '@millrace/shared/config';
import type { Dispatcher } from 'undici';
import type { Gathering } from '../../coalescing/gathering.ts';
import { connectError, UpstreamError } from '../faults.ts';
import { lookAgainMs, watchAddresses } from './addresses.ts';
import { longStandingMs, warmDelayMs } from './backoff.ts';
import type { CloseReason, Connection, NotSent } from './connection.ts';
import { createH1 } from './h1.ts';
import { createH2, maxStreams } from './h2.ts';
import { keepWarm } from './keep-warm.ts';
import { createConnectionQueue } from './connection-queue.ts';
import { openConnection } from './open.ts';
import type { Endpoint, Opened } from './open.ts';
import { isLongIdle, PooledRequest } from './request.ts';
import {
  countClose,
  countConnect,
  countConnectFailure,
  createCounters,
  readStats,
} from './stats.ts';
import type { PoolStats } from './stats.ts';
import { createIdleList } from './idle-list.ts';
import { countLoss } from './retry-allowance.ts';
import { sweepIdle, sweepIntervalMs } from './sweep.ts';

export type PoolOptions = {
  origin: string;
  endpoint: Endpoint;
  config: PoolConfig;
  /** What is asked on warm connections before they idle out; absent: nothing. */
  models?: Dispatcher.DispatchOptions;
  onConnect?: (event: ConnectEvent) => void;
  /** `losses`: in a row, this one included. */
  onConnectFailure?: (fault: Fault, losses: number) => void;
  /** How sockets are read while this process is late; absent: as always. */
  gathering?: Gathering | undefined;
  /** Milliseconds; default `lookAgainMs`. */
  dnsIntervalMs?: number;
  random?: () => number;
};

/** A connection was opened. */
export type ConnectEvent = {
  /** A request was waiting for it: the time that it took is in that request's own. */
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
  /** From now on `config.warm` connections are kept open. Idempotent. */
  warm(): void;
  /** One more request would wait until another one has ended. */
  isFull(): boolean;
  /**
   * Keeps room for a request that was let in and is dispatched later, as its attempt is logged first.
   * Returns the function that gives the room up, to be called right before the dispatch, or instead of
   * it. Idempotent.
   */
  reserve(): () => void;
  stats(): PoolStats;
  /** Ends everything at once. Idempotent. */
  close(): void;
};

/** One pool, one provider. What it does is one rule, `pump`: after every change, serve and open. */
export function createPool(options: PoolOptions): Pool {
  const { origin, endpoint, config, gathering, onConnect, random = Math.random } = options;
  const now = () => performance.now();
  const counters = createCounters();
  const connections = new Set<Connection>();
  const connecting = new Set<AbortController>();
  const idleList = createIdleList({ lifetimeMs: config.lifetimeMs, now });
  /** Requests that a new connection will carry, going by the last one; at first by what is hoped for. */
  let carries = config.http2 ? maxStreams : 1;
  const onTheWay = () => connecting.size * carries;
  const queue = createConnectionQueue({ waitMs: config.waitMs, now, counters, onTheWay });
  const names = watchAddresses(
    {
      host: endpoint.proxy?.host ?? endpoint.host,
      lookup: endpoint.lookup,
      everyMs: options.dnsIntervalMs ?? lookAgainMs,
    },
    (addresses) => {
      for (const one of connections) if (!addresses.has(one.address())) idleList.retire(one, 'dns');
    },
  );
  /** Requests that were let in and are not dispatched yet. */
  let reserved = 0;
  let keeping = false;
  let closed = false;
  /** In a row: connections that failed, or ended before they had served. */
  let losses = 0;
  let warmTimer: NodeJS.Timeout | undefined;
  let sweepTimer: NodeJS.Timeout | undefined;

  function assign(request: PooledRequest, one: Connection): void {
    idleList.occupy(one);
    request.sendOn(one, now());
  }

  function release(one: Connection): void {
    one.active -= 1;
    one.idleSince = now();
    if (!connections.has(one)) return;
    idleList.sort(one);
    pump();
  }

  const requestEvents = {
    onStale() {
      const isSuspect = (one: Connection) =>
        one.active === 0 && one.served === 0 && isLongIdle(one, now());
      for (const one of idleList.free.filter(isSuspect)) idleList.retire(one, 'idle');
    },
    onNotSent(request: PooledRequest, lost: Connection, why: NotSent) {
      const error = countLoss(request, lost, why);
      if (error) request.fail(error);
      else dispatchOrQueue(request);
    },
    onDone(one: Connection, answered: boolean) {
      if (answered) {
        one.served += 1;
        losses = 0;
      }
      // undici tells the end of a response before it closes a connection that cannot be kept.
      queueMicrotask(() => release(one));
    },
    onAborted(request: PooledRequest) {
      queue.leave(request);
      const wanted = Math.max(
        Math.ceil(queue.size / carries),
        keeping ? config.warm - connections.size : 0,
      );
      for (const attempt of [...connecting].slice(Math.max(0, wanted))) attempt.abort(notWanted);
    },
  };

  function dispatchOrQueue(request: PooledRequest): void {
    const one = closed || queue.size > 0 ? undefined : idleList.top();
    if (closed) request.fail(shutDown);
    else if (one) assign(request, one);
    else {
      queue.join(request);
      pump();
    }
  }

  const room = () => connections.size + connecting.size < config.connections;

  function pump(): void {
    if (closed) return;
    const best = () => (queue.size > 0 ? idleList.top() : undefined);
    for (let one = best(); one; one = best()) {
      const request = queue.next();
      if (request) assign(request, one);
    }
    while (queue.size > onTheWay() && room()) void open();
    const isShort = () => keeping && connections.size + connecting.size < config.warm;
    while (losses === 0 && isShort() && room()) void open();
    if (isShort() && room() && !warmTimer) {
      warmTimer = setTimeout(
        () => {
          warmTimer = undefined;
          if (isShort() && room()) void open();
        },
        warmDelayMs(losses, random()),
      );
      warmTimer.unref();
    }
  }

  function onOpen(opened: Opened, connection: Connection, ms: number): void {
    const { protocol, tls, resumed } = opened;
    countConnect(counters, opened);
    carries = Math.max(1, connection.capacity);
    connections.add(connection);
    onConnect?.({ inPath: queue.size > 0, ms, protocol, tls, resumed });
    if (closed) connection.close('shutdown');
    names.start();
    sweepTimer ??= setInterval(sweep, sweepIntervalMs(config.idleTimeoutMs)).unref();
    idleList.sort(connection);
  }

  async function open(): Promise<void> {
    const attempt = new AbortController();
    const since = now();
    connecting.add(attempt);
    const { signal } = attempt;
    const speak = (opened: Opened) =>
      opened.protocol === 'h2'
        ? createH2(opened, { origin, now, signal }, events)
        : createH1(opened, { origin, longestIdleMs: config.lifetimeMs, gathering, now }, events);
    try {
      const { opened, connection } = await openConnection(endpoint, attempt, speak);
      connecting.delete(attempt);
      onOpen(opened, connection, now() - since);
    } catch (error) {
      connecting.delete(attempt);
      if (error !== notWanted) onConnectFailure(error as Error);
    }
    pump();
  }

  function onConnectFailure(error: Error): void {
    const known = connectError(error, 'The provider');
    losses += 1;
    countConnectFailure(counters, known.fault.code);
    options.onConnectFailure?.(known.fault, losses);
    // It was for those that have waited longest, unless enough others are on their way.
    for (let i = 0; i < carries && queue.size > onTheWay(); i++) {
      queue.next()?.fail(i === 0 ? known : known.echo());
    }
  }

  const events = {
    onClose(one: Connection, reason: CloseReason) {
      // Before the pool knew it, it was an attempt.
      if (!connections.delete(one)) return;
      idleList.remove(one);
      countClose(counters, one, reason, now());
      const isLoss = one.served === 0 && (reason === 'peer' || reason === 'error');
      if (isLoss) losses = now() - one.openedAt < longStandingMs ? losses + 1 : 0;
      if (connections.size === 0) {
        names.stop();
        clearInterval(sweepTimer);
        sweepTimer = undefined;
      }
      pump();
    },
    onChange(one: Connection) {
      if (!connections.has(one)) return;
      idleList.sort(one);
      pump();
    },
  };

  function sweep(): void {
    const { models } = options;
    const { close, ask } = sweepIdle({
      free: idleList.free,
      size: connections.size,
      config,
      now: now(),
    });
    for (const [one, reason] of close) idleList.retire(one, reason);
    for (const one of models ? ask : []) {
      counters.keepWarm += 1;
      idleList.occupy(one);
      idleList.remove(one);
      keepWarm(one, models!, config.connectTimeoutMs, () => queueMicrotask(() => release(one)));
    }
  }

  return {
    dispatch(given, handler) {
      const request = new PooledRequest(given, handler, requestEvents);
      counters.requests += 1;
      request.start();
      if (!request.aborted) dispatchOrQueue(request);
    },
    warm() {
      keeping = true;
      pump();
    },
    isFull() {
      const unopened = config.connections - connections.size - connecting.size;
      let spare = unopened * carries + onTheWay() - queue.size - reserved;
      // Drops those that are closed or too old.
      if (idleList.top() === undefined) return spare <= 0;
      for (const { capacity, active } of idleList.free) {
        if (spare > 0) break;
        spare += capacity - active;
      }
      return spare <= 0;
    },
    reserve() {
      let isKept = true;
      reserved += 1;
      return () => {
        if (isKept) reserved -= 1;
        isKept = false;
      };
    },
    stats: () =>
      readStats(counters, connections, { connecting: connecting.size, waiting: queue.size }),
    close() {
      closed = true;
      clearTimeout(warmTimer);
      for (const attempt of connecting) attempt.abort(notWanted);
      for (const one of connections) one.close('shutdown');
      for (let request = queue.next(); request; request = queue.next()) request.fail(shutDown);
    },
  };
}

/** Ends an attempt that nobody needs any more: no failure. */
const notWanted = new UpstreamError(
  'upstream_unreachable',
  'Nobody needs the connection any more.',
);
const shutDown = new UpstreamError(
  'upstream_unreachable',
  'This worker is closing its connections.',
);
