import type { IncomingHttpHeaders } from 'node:http';
import type { WebSocket } from '@fastify/websocket';
import type { ApiError } from '../../api-error.ts';
import type { Principal } from '../../auth/api-keys.ts';
import type { SocketWriter } from '../../delivery/socket-writer.ts';
import type { Refused } from '../../errors.ts';
import type { Services } from '../../services.ts';
import type { Frame } from './frames.ts';

/**
 * What clients speak over a WebSocket. connection.ts serves every protocol: it reads frames within their bounds, watches that the
 * client lives, and ends the socket in a drain.
 */
export type SocketProtocol = {
  readonly path: string;
  /** Whether the frame opens a request: such a frame needs memory, and is rejected when there is none. */
  opens(frame: Frame): boolean;
  /** Begins to serve an authenticated client. */
  begin(context: SocketContext): SocketSession;
  /** The answer to a frame that could not be served. `id`: of the request, or of the error. */
  errorFrame(frame: Frame | undefined, error: ApiError, id: string): string;
};

export type SocketContext = {
  socket: Pick<WebSocket, 'readyState' | 'OPEN'>;
  principal: Principal;
  /** The client's. */
  address: string;
  /** Of the handshake. */
  headers: IncomingHttpHeaders;
  services: Services;
  writer: Pick<SocketWriter, 'send' | 'hasRoom' | 'held'>;
  /** Answers a frame with an error about this request. */
  refuse(frame: Frame | undefined, error: ApiError, id: string): void;
  /** Call it when no request is open any more. */
  onUnused(): void;
  /** Closes the socket once all that was sent has left. */
  close(reason: 'expired'): void;
};

/** The open requests of one socket. */
export type SocketSession = {
  readonly size: number;
  /** Serves a frame, whose bytes count against the memory for bodies until it resolves. Rejects with an ApiError for the client. */
  serve(frame: Frame, data: Buffer): Promise<void>;
  /** The socket has room again. */
  resume(): void;
  /** The client has left. */
  leave(reason: string): void;
  /** The key of the socket ended: each request ends with this error. */
  expel(refused: Refused): void;
  /** Resolves when this ingress sends nothing more for any of the requests. */
  drain(): Promise<void>;
};
