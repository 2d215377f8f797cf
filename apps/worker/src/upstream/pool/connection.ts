import type { Dispatcher } from 'undici';

/** Why a connection ended. `peer`: the peer closed it in order; `error`: any other failure. */
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

/** One socket to a provider, for its whole life. The pool keeps its own state of the connection here, too. */
export type Connection = {
  readonly protocol: 'h1' | 'h2';
  /** The peer's address. It costs a system call, so it is not read for each connection. */
  address(): string;
  /** Milliseconds, by the pool's clock. */
  readonly openedAt: number;
  /** Requests that it can carry concurrently. */
  readonly capacity: number;
  /** Whether it can take a request; false once its socket is closed or the peer has announced the end. */
  readonly isOpen: boolean;
  /** Bytes received so far; always 0 if they cannot be attributed to a response. */
  readonly bytesRead: number;
  /** The first error of its socket; later ones are consequences. */
  readonly failure: Error | undefined;
  /** Requests that it is carrying. */
  active: number;
  /** Requests that it has answered. */
  served: number;
  idleSince: number;
  /** Set if it takes no new request and closes after its last one. */
  retired: CloseReason | undefined;
  /** It is in the pool's list of usable connections. */
  listed: boolean;
  send(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void;
  /**
   * `on`: its answer may be read in larger pieces while this process is late, until the next request is sent.
   * Absent if several answers share the socket.
   */
  gather?(on: boolean): void;
  /** Closes at once, whatever it carries. Idempotent. */
  close(reason: CloseReason): void;
};

export type ConnectionEvents = {
  /** Its socket has closed. Called once, before the requests that it carried are notified. */
  onClose(connection: Connection, reason: CloseReason): void;
  /** Its capacity has changed, or it takes no more requests. */
  onChange(connection: Connection): void;
};

/** The request never reached the provider, so it can be sent again. */
export class NotSent extends Error {
  override readonly name = 'NotSent';
  /** undici checks this: any code other than its own means an error of the socket. */
  readonly code = 'NOT_SENT';
  /** The provider refused it explicitly (HTTP/2's REFUSED_STREAM, GOAWAY). */
  readonly refused: boolean;

  constructor({ refused = false }: { refused?: boolean } = {}) {
    super('the request was not sent');
    this.refused = refused;
  }
}
