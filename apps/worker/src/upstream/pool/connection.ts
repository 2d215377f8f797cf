import type { Dispatcher } from 'undici';

/** Why a connection ended: `peer` hung up in order, `error` is anything less polite. */
export const closeReasons = [
  'idle',
  'lifetime',
  'peer',
  'error',
  'dns',
  'aborted',
  'shutdown',
] as const;
export type CloseReason = (typeof closeReasons)[number];

/** One socket to a provider, for its whole life. The pool keeps its books in it. */
export type Connection = {
  readonly protocol: 'h1' | 'h2';
  /** Of the machine at the other end: a call of the system, so not for each connection. */
  address(): string;
  /** By the pool's clock, milliseconds. */
  readonly openedAt: number;
  /** Requests that it can carry at a time. */
  readonly capacity: number;
  /** Can take a request; false as soon as its socket is closed, or the peer said goodbye. */
  readonly isOpen: boolean;
  /** Bytes that came so far; always 0 where they are not all of responses. */
  readonly bytesRead: number;
  /** What its socket failed with first; later errors are only about the ruins. */
  readonly failure: Error | undefined;
  /** Requests that it is carrying. */
  active: number;
  /** Requests that it has answered. */
  served: number;
  idleSince: number;
  /** It takes no new request, and closes after the last one that it has. */
  retired: CloseReason | undefined;
  /** It is among those that the pool gives to requests. */
  listed: boolean;
  send(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void;
  /**
   * Its answer flows (true): it may be read less often while this process is late, until it is sent a request
   * again. Absent if several answers share the socket.
   */
  gather?(on: boolean): void;
  /** At once, whatever it carries. Idempotent. */
  close(reason: CloseReason): void;
};

export type ConnectionEvents = {
  /** Its socket is gone. Once; what it carried hears of it after this. */
  onClose(connection: Connection, reason: CloseReason): void;
  /** How much it can carry has changed, or it takes no more. */
  onChange(connection: Connection): void;
};

/** The request never reached the provider, whatever became of the connection: it can be sent again. */
export class NotSent extends Error {
  override readonly name = 'NotSent';
  /** undici looks at it: any code but its own for news of the socket. */
  readonly code = 'NOT_SENT';
  /** The provider said so (HTTP/2's REFUSED_STREAM, GOAWAY). */
  readonly refused: boolean;

  constructor({ refused = false }: { refused?: boolean } = {}) {
    super('the request was not sent');
    this.refused = refused;
  }
}
