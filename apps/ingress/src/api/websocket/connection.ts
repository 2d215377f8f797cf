import type { IncomingHttpHeaders } from 'node:http';
import type { WebSocket } from '@fastify/websocket';
import { apiError, errorOf, toApiError } from '../../api-error.ts';
import type { Principal } from '../../auth/api-keys.ts';
import type { Backpressure } from '../../delivery/backpressure.ts';
import { openSocketWriter } from '../../delivery/socket-writer.ts';
import type { SocketWriter } from '../../delivery/socket-writer.ts';
import type { Refused } from '../../errors.ts';
import { handOverMs } from '../../exchange/exchange.ts';
import { recordRefusal } from '../../observe/record-refusal.ts';
import { logSocketRequest } from '../../observe/request-log.ts';
import { requestBounds } from '../../server/json-shape.ts';
import { makeRequestId } from '../../server/request-id.ts';
import type { Services } from '../../services.ts';
import { within } from '../../store-timeout.ts';
import { checkShape } from '../json-body.ts';
import type { CloseReason, SocketCloser } from './close-codes.ts';
import { parseFrame, serverBusy } from './frames.ts';
import type { Frame } from './frames.ts';
import type { SocketWatch } from './heartbeat.ts';
import { createMessageQueue } from './message-queue.ts';
import type { Message, MessageQueue } from './message-queue.ts';
import type { SocketProtocol, SocketSession } from './protocol.ts';

/**
 * While the memory for bodies is used up, frames up to this many bytes are served if they do not open a
 * request.
 */
const smallFrame = 4096;

/** A socket, and what closes and pauses it. */
export type OpenSocket = {
  socket: WebSocket;
  closer: SocketCloser;
  backpressure: Backpressure;
  /** The client's. */
  address: string;
  /** Of the handshake. */
  headers: IncomingHttpHeaders;
  protocol: SocketProtocol;
};

/** Serves the frames of an authenticated client. */
export function serveSocket(open: OpenSocket, principal: Principal, services: Services): void {
  const { socket } = open;
  const { connections, metrics } = services;
  const connection = new Connection(open, principal, services);
  const counted = connections.add(
    () => connection.drain(),
    () => connection.closeIfIdle(),
    () => connection.held(),
  );
  const keyUse = services.keyUsers.add(principal, (refused) => connection.expel(refused));
  metrics.socketOpened();
  socket.on('message', (data: Buffer, isBinary: boolean) => connection.take({ data, isBinary }));
  socket.on('close', () => {
    counted.remove();
    keyUse.remove();
    connection.stop();
    metrics.socketClosed();
  });
  connection.closeIfIdle();
}

class Connection {
  readonly #open: OpenSocket;
  readonly #principal: Principal;
  readonly #services: Services;
  readonly #writer: SocketWriter;
  readonly #session: SocketSession;
  readonly #messages: MessageQueue;
  readonly #watched: SocketWatch;
  /** Resolves the wait of a drain for the frames that are being served. */
  #onServed: (() => void) | undefined;

  constructor(open: OpenSocket, principal: Principal, services: Services) {
    const { socket, closer, backpressure, protocol, address, headers } = open;
    const { limits } = services.config;
    this.#open = open;
    this.#principal = principal;
    this.#services = services;
    const writer = openSocketWriter({
      socket,
      backpressure,
      limits,
      onDrain: () => this.#session.resume(),
      onProgress: () => this.#watched.markProgress(),
      onWritten: (bytes) => this.#watched.markWritten(bytes),
      onStalled: () => closer.terminate('stalled'),
    });
    this.#writer = writer;
    const onUnused = () => this.closeIfIdle();
    this.#session = protocol.begin({
      socket,
      principal,
      address,
      headers,
      services,
      writer,
      refuse: (frame, error, id) => this.#refuse(frame, error, id),
      onUnused,
      close: (reason) => this.#close(reason),
    });
    this.#messages = createMessageQueue({
      backpressure,
      limits,
      bodies: services.bodies,
      read: (message) => this.#read(message),
      serve: (frame, data) => this.#serve(frame, data),
      onIdle: onUnused,
    });
    this.#watched = services.heartbeat.watch(socket, {
      isPaused: () => backpressure.isPaused,
      requestsOpen: () => this.#session.size,
      framesServed: () => this.#messages.served,
      end: (reason) => (reason === 'dead' ? closer.terminate(reason) : closer.close(reason)),
    });
    // While the socket was paused, nothing was read from it, pongs included.
    backpressure.onResume(this.#watched.markAlive);
  }

  held(): number {
    return this.#writer.held();
  }

  take(message: Message): void {
    const { socket } = this.#open;
    this.#watched.markAlive();
    if (socket.readyState === socket.OPEN) this.#messages.take(message);
  }

  stop(): void {
    this.#watched.stop();
    this.#messages.stop();
    this.#session.leave('the client went away');
  }

  /** While draining: closes the socket after its last answer has been sent. */
  closeIfIdle(): void {
    const { served } = this.#messages;
    if (served === 0) this.#onServed?.();
    if (this.#services.draining() && this.#session.size + served === 0) this.#close('drained');
  }

  /** Hands over the open requests, which the client then reads at another ingress. */
  async drain(): Promise<void> {
    const drained = this.#session.drain();
    if (this.#messages.served > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onServed = resolve;
      await within(promise, handOverMs).catch(() => {});
    }
    await drained;
    // Also the requests that frames have opened meanwhile.
    await this.#session.drain();
    this.#close('drained');
  }

  /** The key ended: ends the open requests with this error, and then the socket. */
  expel(refused: Refused): void {
    this.#session.expel(refused);
    this.#refuse(undefined, errorOf(refused));
    this.#close('key_ended');
  }

  #close(reason: CloseReason): void {
    this.#writer.end(() => this.#open.closer.close(reason));
  }

  #read({ data, isBinary }: Message): Frame | undefined {
    const { bodies, config } = this.#services;
    let frame: Frame | undefined;
    try {
      if (isBinary) {
        throw apiError('invalid_request', {
          message: 'Binary frames are not understood: send JSON as text.',
        });
      }
      checkShape(data, requestBounds(config.limits));
      frame = parseFrame(data.toString('utf8'));
      // A ping does not count as use.
      if (frame['type'] !== 'ping') this.#watched.markUsed();
      const isNeeded = data.length <= smallFrame && !this.#open.protocol.opens(frame);
      if (bodies.held <= config.limits.requestBodiesBytes || isNeeded) return frame;
      throw serverBusy();
    } catch (thrown) {
      this.#refuse(frame, thrown);
      return undefined;
    }
  }

  /** Never rejects. */
  async #serve(frame: Frame, data: Buffer): Promise<void> {
    try {
      await this.#session.serve(frame, data);
    } catch (thrown) {
      this.#refuse(frame, thrown);
    }
  }

  /** `about`: the request that the frame is about, if it is known and the error does not name it. */
  #refuse(frame: Frame | undefined, thrown: unknown, about?: string): void {
    const { refused, logger, onError } = this.#services;
    const { keyId } = this.#principal;
    const answer = toApiError(thrown);
    const { error, status } = answer;
    const id = error.request_id ?? about ?? makeRequestId();
    recordRefusal(refused, answer, { keyId });
    logSocketRequest(logger, {
      path: this.#open.protocol.path,
      id,
      frame: typeof frame?.['type'] === 'string' ? frame['type'].slice(0, 20) : 'unreadable',
      key: keyId,
      outcome: 'failed',
      code: error.code ?? `status_${status}`,
    });
    if (status >= 500 && status !== 503) onError(thrown);
    this.#writer.send(this.#open.protocol.errorFrame(frame, answer, id));
  }
}
