import type { Caller, DetachOutcome } from '@millrace/shared/store/stream-log/port';
import type { Refused } from '../errors.ts';

/*
 * The life of one request in an ingress, from its client's side.
 *
 *   preparing ──▶ creating ──▶ queued ──▶ attached ──▶ ended
 *                  │    └────▶ joining ──────▲  │
 *                  ▼                            ▼
 *               withdrawn ──▶ ended          handing_over ──▶ ended
 *
 * `step` (step.ts) is pure; exchange.ts executes the effects. docs/decisions/2026-11-30-exchange.md says why it is so.
 */

/** The consequence of the client's leaving, and what the client waits for. */
export type Terms = {
  /** The client's leaving ends the request, unless other callers are present. */
  readonly owned: boolean;
  /**
   * The callers, by Idempotency-Key, of this client; several if it requested the same one more than once on
   * one WebSocket.
   */
  readonly callers: readonly Caller[];
  /** The client reads the answer here. Otherwise its exchange is over when Redis has the request. */
  readonly reads: boolean;
  /** The client has a part of an answer, and continues from a cursor: a new request would not help it. */
  readonly continues: boolean;
  /** The key of the request was charged here, so this ingress must give the charge back. */
  readonly charged: boolean;
};

export type State = {
  /** The request that the client gets: its own, or the one to which its Idempotency-Key belongs. */
  readonly id: string;
  readonly terms: Terms;
} & (
  | { readonly kind: Exclude<Kind, 'creating'> }
  | {
      readonly kind: 'creating';
      /** A line of the request has arrived, so Redis has the request. */
      readonly heard: boolean;
      /** `gone`: the client left, and its request continues. `sent_away`: the ingress drains. */
      readonly client: 'waits' | 'gone' | 'sent_away';
    }
);

export type Kind =
  /** The request is admitted, and its key is being charged. Redis has nothing of it. */
  | 'preparing'
  /** The request is on its way to Redis, for which it may wait; whether Redis has it is unknown. */
  | 'creating'
  /** The client has left or got its error, and it is still unknown whether Redis has the request. */
  | 'withdrawn'
  /** The Idempotency-Key belongs to another request, to which this ingress is subscribing. */
  | 'joining'
  /** Redis has the request, and no line of it has arrived. */
  | 'queued'
  /** The client reads a request that exists. */
  | 'attached'
  /** The ingress drains, and tells Redis to let the request continue without it. */
  | 'handing_over'
  /** The client gets nothing more. */
  | 'ended';

export type Event =
  /** The key was charged; nothing was sent to Redis yet. */
  | { kind: 'charged' }
  /** The key was refused, or could not be charged. */
  | { kind: 'refused'; refused: Refused }
  /* The outcomes of creating. */
  | { kind: 'created' }
  | { kind: 'joined'; id: string }
  /** `isWanted` was false before the request was sent. */
  | { kind: 'called_off' }
  /** Redis has nothing of the request. `sent`: a first reply of Redis may have been lost. */
  | { kind: 'not_created'; refused: Refused; sent: boolean }
  /** Redis may have the request. */
  | { kind: 'unknown'; refused: Refused }
  /* The outcomes of joining. */
  | { kind: 'subscribed' }
  | { kind: 'not_subscribed'; refused: Refused }
  /** Another exchange of the same WebSocket reads this request already. */
  | { kind: 'merged' }
  /** The client has asked once more, on the same WebSocket, for the request that this exchange reads. */
  | { kind: 'shared'; owned: boolean; callers: readonly Caller[] }
  /* From the log. */
  | { kind: 'lines' }
  | { kind: 'terminal' }
  | { kind: 'gone'; reason: 'expired' | 'broken' | 'overdue' }
  /** The log lost lines that the client has, and the client cannot take them back. */
  | { kind: 'lost' }
  /* From the client, and from the process. */
  | { kind: 'left'; reason: string }
  | { kind: 'drain' }
  /** An unexpected error of this process, which cannot serve the client; or the client's key ended, for this reason. */
  | { kind: 'failed'; refused: Refused; reason?: string }
  /** A drain has waited long enough for Redis. */
  | { kind: 'drain_overdue' }
  | { kind: 'handed_over'; outcome: DetachOutcome | 'unknown' };

export type Effect =
  /** Opens the reader, then sends the request, so that no line is missed. */
  | { kind: 'create' }
  | { kind: 'join'; id: string }
  | { kind: 'read_joined' }
  | { kind: 'close_reader' }
  /** Ends a request that Redis may have. */
  | { kind: 'withdraw' }
  /** The request was not created: the key gets everything back. */
  | { kind: 'refund' }
  /** The request no longer counts as concurrent. */
  | { kind: 'release' }
  /** No client of this ingress holds the request's lease any more; the lease lives until the request ends. */
  | { kind: 'let_go' }
  /** The client does not want the request any more: ends it unless other callers are there. */
  | { kind: 'leave'; id: string; callers: readonly Caller[]; reason: string }
  | { kind: 'await_drain' }
  | { kind: 'detach'; id: string; owned: boolean; callers: readonly Caller[] }
  /* To the client. */
  | { kind: 'notify_created'; id: string }
  | { kind: 'notify_joined'; id: string }
  | { kind: 'notify_refused'; refused: Refused }
  | { kind: 'notify_moved'; id: string }
  /** Closes the connection of a client that does not take its answer. */
  | { kind: 'cut' };

export type Step = readonly [State, readonly Effect[]];

/** `reads: false`: a job, which needs no client. */
export const beginCreating = (id: string, terms: Omit<Terms, 'charged'>): State => ({
  kind: 'preparing',
  id,
  terms: { ...terms, charged: false },
});

/** A reader of an existing request; its leaving does not affect the request. */
export const beginReading = (id: string): State => ({
  kind: 'attached',
  id,
  terms: { owned: false, callers: [], reads: true, continues: false, charged: false },
});
