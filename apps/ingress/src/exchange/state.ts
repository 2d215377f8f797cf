import type { Caller, DetachOutcome } from '@millrace/shared/store/stream-log/port';
import { refuse, refuseGone } from '../errors.ts';
import type { Refused } from '../errors.ts';

/*
 * The life of one request in an ingress, from its client's side.
 *
 *   preparing ──▶ creating ──▶ queued ──▶ attached ──▶ ended
 *                  │    └────▶ joining ──────▲  │
 *                  ▼                            ▼
 *               withdrawn ──▶ ended          handing_over ──▶ ended
 *
 * `step` is pure; exchange.ts executes the effects. docs/decisions/2026-11-30-exchange.md says why it is so.
 */

/** What the leaving of the client means, and what the client waits for. */
export type Terms = {
  /** The client's leaving ends the request, unless other callers are there. */
  readonly owned: boolean;
  /** By whose Idempotency-Key the client asked for the request; several if it asked more than once on one WebSocket. */
  readonly callers: readonly Caller[];
  /** The client reads the answer here. Otherwise its exchange is over when Redis has the request. */
  readonly reads: boolean;
  /** The client has a part of an answer, and continues from a cursor: a new request is of no use to it. */
  readonly continues: boolean;
  /** The key of the request was charged here, and what it holds must be given back from here. */
  readonly charged: boolean;
};

export type State = {
  /** The request that the client gets: its own, or the one for which its Idempotency-Key stands. */
  readonly id: string;
  readonly terms: Terms;
} & (
  | { readonly kind: Exclude<Kind, 'creating'> }
  | {
      readonly kind: 'creating';
      /** A line of the request has come: Redis has it. */
      readonly heard: boolean;
      /** `gone`: the client left, and its request runs on. `sent_away`: the ingress drains. */
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
  /** The Idempotency-Key stands for another request, which is being subscribed to. */
  | 'joining'
  /** Redis has the request, and no line of it has come. */
  | 'queued'
  /** The client reads a request that exists. */
  | 'attached'
  /** The ingress drains, and commands Redis to let the request run on without it. */
  | 'handing_over'
  /** Nothing more comes to the client. */
  | 'ended';

export type Event =
  /** The key paid; nothing was sent to Redis yet. */
  | { kind: 'charged' }
  /** The key may not, or could not be charged. */
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
  /** The request was not made: the key gets everything back. */
  | { kind: 'refund' }
  /** The request counts no more as concurrent. */
  | { kind: 'release' }
  /** No client holds the request's lease here any more; the lease lives until the request ends. */
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

/** A reader of a request that exists; its leaving means nothing for the request. */
export const beginReading = (id: string): State => ({
  kind: 'attached',
  id,
  terms: { owned: false, callers: [], reads: true, continues: false, charged: false },
});

/** The state after an event, and what is to be done. An event that means nothing in a state changes nothing. */
export function step(state: State, event: Event): Step {
  if (event.kind === 'shared') return [share(state, event), []];
  switch (state.kind) {
    case 'preparing':
      return whilePreparing(state, event);
    case 'creating':
      return whileCreating(state, event);
    case 'withdrawn':
      return whileWithdrawn(state, event);
    case 'joining':
      return whileJoining(state, event);
    case 'queued':
    case 'attached':
      return whileReading(state, event);
    case 'handing_over':
      return whileHandingOver(state, event);
    case 'ended':
      return afterEnd(state, event);
  }
}

function whilePreparing(state: State, event: Event): Step {
  switch (event.kind) {
    case 'charged': {
      const terms = { ...state.terms, charged: true };
      const { id } = state;
      return [{ kind: 'creating', heard: false, client: 'waits', id, terms }, [{ kind: 'create' }]];
    }
    case 'refused':
      return end(state, refusal(event.refused));
    case 'drain':
      return end(state, shuttingDown);
    case 'left':
      return end(state);
    default:
      return stay(state);
  }
}

function whileCreating(state: State & { kind: 'creating' }, event: Event): Step {
  const { terms, client } = state;
  switch (event.kind) {
    case 'lines':
      return [{ ...state, heard: true }, []];
    case 'terminal':
      return end(state, release);
    case 'created':
      return whenCreated(state);
    case 'joined':
      return whenJoined(state, event.id);
    case 'unknown':
    case 'not_created': {
      // A line has come: the request is there, and a reply of Redis was lost.
      if (state.heard) return whenCreated(state);
      const notice = refuseUnlessGone(client, event.refused);
      return end(state, ...settle(event), closeReader, ...notice);
    }
    case 'called_off':
      return end(state, refund, closeReader, shuttingDown);
    case 'gone': {
      const [ended, effects] = whenGone(state, event.reason);
      return [withdrawn(ended), effects];
    }
    case 'left':
      // A job needs no client.
      if (!terms.reads || client === 'gone') return stay(state);
      if (!terms.owned) return [{ ...state, client: 'gone' }, [closeReader, { kind: 'let_go' }]];
      return [withdrawn(state), [closeReader, leave(state, event.reason)]];
    case 'drain':
      if (client !== 'waits') return stay(state);
      return [{ ...state, client: 'sent_away' }, [{ kind: 'await_drain' }]];
    case 'drain_overdue':
      // Also if the request would run on without its client, which makes it again elsewhere.
      return [withdrawn(state), [closeReader, leave(state, serverStops), shuttingDown]];
    default:
      return stay(state);
  }
}

function whenCreated(state: State & { kind: 'creating' }): Step {
  const { id, terms, client, heard } = state;
  if (terms.continues) {
    // Also if the request would run on without its client, which does not know its id.
    const madeAnew = leave(state, 'it was made anew for a reader of another one');
    return end(state, closeReader, madeAnew, ...refuseUnlessGone(client, refuse('cursor_ahead')));
  }
  if (client === 'gone') return end(state);
  const created: Effect = { kind: 'notify_created', id };
  if (!terms.reads) return end(state, created);
  if (client === 'sent_away') return handOver({ id, terms }, created);
  return [{ kind: heard ? 'attached' : 'queued', id, terms }, [created]];
}

function whenJoined(state: State & { kind: 'creating' }, id: string): Step {
  const terms = { ...state.terms, charged: false };
  const joined: Effect = { kind: 'notify_joined', id };
  if (state.client === 'gone') return end({ id, terms }, refund);
  if (!terms.reads) return end({ id, terms }, refund, joined);
  if (state.client === 'sent_away') return handOver({ id, terms }, refund, closeReader, joined);
  return [{ kind: 'joining', id, terms }, [refund, closeReader, { kind: 'join', id }]];
}

/** The client gets nothing more. What its key gets back, and what it joined, depends on the reply of Redis. */
function whileWithdrawn(state: State, event: Event): Step {
  switch (event.kind) {
    // The end of the request is on its way behind its creation, on the same connection.
    case 'created':
      return end(state);
    case 'joined':
      return end(state, refund, leave({ ...state, id: event.id }, clientLeft));
    case 'called_off':
      return end(state, refund);
    case 'unknown':
    case 'not_created':
      return end(state, ...settle(event));
    default:
      return stay(state);
  }
}

function whileJoining(state: State, event: Event): Step {
  const { id, terms } = state;
  const joined: Effect = { kind: 'notify_joined', id };
  switch (event.kind) {
    case 'subscribed':
      return [{ kind: 'attached', id, terms }, [joined, { kind: 'read_joined' }]];
    case 'merged':
      return end(state, joined);
    case 'not_subscribed':
      return end(
        state,
        ...leaveIfOwned(state, 'its answer cannot be read'),
        refusal(event.refused),
      );
    case 'left':
      return end(state, ...leaveIfOwned(state, event.reason));
    case 'drain':
      return handOver(state, joined);
    default:
      return stay(state);
  }
}

function whileReading(state: State, event: Event): Step {
  const { id, terms } = state;
  switch (event.kind) {
    case 'lines':
      return [{ kind: 'attached', id, terms }, []];
    case 'terminal':
      return end(state, release);
    case 'gone':
      return whenGone(state, event.reason);
    case 'lost': {
      const lost = leaveIfOwned(state, 'what its reader was shown is lost');
      return end(state, closeReader, ...lost, refusal(refuse('stream_lost')));
    }
    case 'left':
      return end(
        state,
        closeReader,
        ...(terms.owned ? [leave(state, event.reason)] : letGo(state)),
      );
    case 'drain':
      return handOver(state);
    default:
      return stay(state);
  }
}

/** The reader stays open: an end that comes meanwhile still goes out here. */
function whileHandingOver(state: State, event: Event): Step {
  switch (event.kind) {
    case 'terminal':
      return end(state, release);
    case 'gone':
      return end(state, refusal(refuseGone(event.reason)));
    case 'lost':
      return end(state, closeReader, refusal(refuse('stream_lost')));
    case 'handed_over': {
      const isGone = event.outcome === 'gone';
      const notice = isGone
        ? refusal(refuse('stream_lost'))
        : ({ kind: 'notify_moved', id: state.id } as const);
      return end(state, closeReader, notice);
    }
    case 'left':
      return end(state, closeReader);
    default:
      return stay(state);
  }
}

function afterEnd(state: State, event: Event): Step {
  // The client left while its key was being charged.
  if (event.kind === 'charged') return [state, [{ kind: 'refund' }]];
  return event.kind === 'drain' ? [state, [{ kind: 'cut' }]] : stay(state);
}

function whenGone(state: State, reason: (Event & { kind: 'gone' })['reason']): Step {
  const notice = refusal(refuseGone(reason));
  if (reason !== 'overdue') return end(state, release, notice);
  const overdue = state.terms.owned ? [leave(state, 'its time was over')] : letGo(state);
  return end(state, notice, ...overdue);
}

const share = (state: State, { owned, callers }: Event & { kind: 'shared' }): State => ({
  ...state,
  terms: {
    ...state.terms,
    owned: state.terms.owned || owned,
    callers: owned ? [...state.terms.callers, ...callers] : state.terms.callers,
  },
});

type Named = Pick<State, 'id' | 'terms'>;

const stay = (state: State): Step => [state, []];

const end = ({ id, terms }: Named, ...effects: Effect[]): Step => [
  { kind: 'ended', id, terms },
  effects,
];

const withdrawn = ({ id, terms }: Named): State => ({ kind: 'withdrawn', id, terms });

const handOver = ({ id, terms }: Named, ...before: Effect[]): Step => [
  { kind: 'handing_over', id, terms },
  [...before, { kind: 'detach', id, owned: terms.owned, callers: terms.callers }],
];

const leave = ({ id, terms: { callers } }: Named, reason: string): Effect => ({
  kind: 'leave',
  id,
  callers,
  reason,
});

const leaveIfOwned = (state: Named, reason: string): Effect[] =>
  state.terms.owned ? [leave(state, reason)] : [];

const letGo = ({ terms }: Named): Effect[] => (terms.charged ? [{ kind: 'let_go' }] : []);

const refund: Effect = { kind: 'refund' };

/** At the end of an answer, before the client sees it: the client's next request may follow at once. */
const release: Effect = { kind: 'release' };

const settle = (event: Event & { kind: 'unknown' | 'not_created' }): Effect[] => {
  if (event.kind === 'unknown') return [release, withdraw];
  return event.sent ? [refund, withdraw] : [refund];
};

const withdraw: Effect = { kind: 'withdraw' };

const closeReader: Effect = { kind: 'close_reader' };

const refusal = (refused: Refused): Effect => ({ kind: 'notify_refused', refused });

const shuttingDown: Effect = refusal(refuse('server_shutting_down'));

const refuseUnlessGone = (
  client: (State & { kind: 'creating' })['client'],
  refused: Refused,
): Effect[] => {
  if (client === 'gone') return [];
  return client === 'sent_away' ? [shuttingDown] : [refusal(refused)];
};

const clientLeft = 'the client went away';
const serverStops = 'the server shuts down';
