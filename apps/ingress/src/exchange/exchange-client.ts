import type { Line } from '@millrace/shared/domain/entry';
import type { Caller } from '@millrace/shared/store/stream-log/port';
import type { ConnectionView } from '../delivery/log-reader.ts';
import type { Refused } from '../errors.ts';

/** The client of an exchange: it encodes and writes, and does not know the request's life. */
export type Client = {
  /** The request was charged; `headers` belong to its answer. */
  charged?(headers: Record<string, string>): void;
  /** The body is not needed any more: the request was sent, or will not be. */
  released?(): void;
  /** Redis has the request. Lines may have arrived before. */
  created?(id: string): void;
  /** The Idempotency-Key belongs to this request, whose lines follow. */
  joined?(id: string): void;
  /** Returns the exchange of the same WebSocket that reads this request already. */
  readerOf?(id: string): Exchange | undefined;
  /** A reader is about to open that begins with a read of the log. */
  opening?(): void;
  lines(batch: readonly Line[]): boolean;
  hasRoom?: (() => boolean) | undefined;
  /** Its connection, as operators see it. */
  describe?(): ConnectionView;
  /** The log lost lines. `again`: the client discards the answer and reads it from its start. `lost`: it cannot. */
  reset(reason: 'cursor_ahead'): 'again' | 'lost';
  /** The last call: the client gets an error. */
  refused(refused: Refused): void;
  /** The last call: the request continues, and the client reads it at another ingress. */
  moved(id: string): void;
  /** Called in a drain after the whole answer was written: the client reads it too slowly. */
  cut?(): void;
};

/** One request of one client. */
export type Exchange = {
  /** The id of the request that the client gets. */
  readonly id: string;
  readonly isOver: boolean;
  /** The connection can take more again. */
  resume(): void;
  /** The client has left or no longer wants the request. Idempotent. */
  leave(reason: string): void;
  /** The client may not have its answer any longer, and gets this error instead. `reason`: for the request's log, if it ends. */
  expel(refused: Refused, reason: string): void;
  /** This ingress stops: resolves when the client gets nothing more from it. */
  drain(): Promise<void>;
  /** The client has asked again, on the same WebSocket, for the request that this exchange reads. */
  share(owned: boolean, callers: readonly Caller[]): void;
};
