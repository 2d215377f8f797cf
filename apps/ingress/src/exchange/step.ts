import { refuse, refuseGone } from '../errors.ts';
import type { Refused } from '../errors.ts';
import type { Effect, Event, State, Step } from './state.ts';

/**
 * The state after an event, and the effects to execute. An event that has no meaning in a state changes
 * nothing.
 */
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
    case 'failed':
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
      // A line has arrived, so the request exists and a reply of Redis was lost.
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
    case 'lost':
      return [withdrawn(state), lostEffects(state)];
    case 'failed':
      return [
        withdrawn(state),
        [closeReader, ...giveUp(state, event.reason ?? brokenOff), refusal(event.refused)],
      ];
    case 'drain_overdue':
      // The client left before, and its request was to continue.
      if (client === 'gone') return stay(state);
      // Also if the request would continue without its client, because the client creates it again elsewhere.
      return [withdrawn(state), [closeReader, leave(state, serverStops), shuttingDown]];
    default:
      return stay(state);
  }
}

function whenCreated(state: State & { kind: 'creating' }): Step {
  const { id, terms, client, heard } = state;
  if (terms.continues) {
    // Also if the request would continue without its client, because the client does not have its id.
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

/** The client gets nothing more. The reply of Redis decides what its key gets back and what must be left. */
function whileWithdrawn(state: State, event: Event): Step {
  switch (event.kind) {
    // The command that ends the request follows its creation on the same connection.
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
    case 'failed':
      return end(state, ...leaveIfOwned(state, event.reason ?? brokenOff), refusal(event.refused));
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
    case 'lost':
      return end(state, ...lostEffects(state));
    case 'failed':
      return end(
        state,
        closeReader,
        ...giveUp(state, event.reason ?? brokenOff),
        refusal(event.refused),
      );
    case 'left':
      return end(state, closeReader, ...giveUp(state, event.reason));
    case 'drain':
      return handOver(state);
    default:
      return stay(state);
  }
}

/** The reader stays open: an end that arrives meanwhile is still delivered here. */
function whileHandingOver(state: State, event: Event): Step {
  switch (event.kind) {
    case 'terminal':
      return end(state, release);
    case 'gone':
      return end(state, refusal(refuseGone(event.reason)));
    case 'lost':
      return end(state, closeReader, refusal(refuse('stream_lost')));
    case 'failed':
      return end(state, closeReader, refusal(event.refused));
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
  const { owned, callers } = state.terms;
  const notice = refusal(refuseGone(reason));
  if (reason === 'overdue') return end(state, notice, ...giveUp(state, 'its time was over'));
  // A request that cannot be read here may continue for others.
  const isOver = reason === 'expired' || (owned && callers.length === 0);
  return end(state, ...(isOver ? [release] : letGo(state)), notice);
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

/** The client does not get the request, which ends if the client owns it. */
const giveUp = (state: Named, reason: string): Effect[] =>
  state.terms.owned ? [leave(state, reason)] : letGo(state);

const lostEffects = (state: Named): Effect[] => [
  closeReader,
  ...giveUp(state, 'what its reader was shown is lost'),
  refusal(refuse('stream_lost')),
];

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
const brokenOff = 'its ingress failed to serve it';
