import { describe, expect, test } from 'vitest';
import { refuse } from '../errors.ts';
import { beginCreating, beginReading } from './state.ts';
import type { Effect, Event, State, Terms } from './state.ts';
import { step } from './step.ts';

const own = 'req_own';
const other = 'req_other';
const caller = { token: own, inbox: 'in-1' };
const busy = refuse('queue_unavailable');
const left: Event = { kind: 'left', reason: 'the client went away' };

type Options = Partial<Omit<Terms, 'charged'>>;

/** The state after some events, and the effects of the last one. */
function after(options: Options, ...events: Event[]): { state: State; effects: readonly Effect[] } {
  const terms = { owned: true, callers: [], reads: true, continues: false, ...options };
  let state: State = beginCreating(own, terms);
  let effects: readonly Effect[] = [];
  for (const event of events) [state, effects] = step(state, event);
  return { state, effects };
}

const creating: Event[] = [{ kind: 'charged' }];
const queued: Event[] = [...creating, { kind: 'created' }];
const joining: Event[] = [...creating, { kind: 'joined', id: other }];
const attached: Event[] = [...queued, { kind: 'lines' }];

/** What the effects do, in short. */
const namesOf = (effects: readonly Effect[]): string[] =>
  effects.map((effect) => {
    if (effect.kind === 'notify_refused') return `refused ${effect.refused.code}`;
    if (effect.kind === 'leave') return `leave ${effect.id}`;
    return effect.kind;
  });

const outcomeOf = (options: Options, ...events: Event[]) => {
  const { state, effects } = after(options, ...events);
  return [state.kind, ...namesOf(effects)];
};

describe('a request that nothing disturbs', () => {
  test('is charged, created, read, and releases its lease before its client sees the end', () => {
    expect(outcomeOf({}, ...creating)).toEqual(['creating', 'create']);
    expect(outcomeOf({}, ...queued)).toEqual(['queued', 'notify_created']);
    expect(outcomeOf({}, ...attached)).toEqual(['attached']);
    expect(outcomeOf({}, ...attached, { kind: 'terminal' })).toEqual(['ended', 'release']);
  });

  test('may have lines before Redis has confirmed it', () => {
    expect(outcomeOf({}, ...creating, { kind: 'lines' }, { kind: 'created' })).toEqual([
      'attached',
      'notify_created',
    ]);
    const early = [...creating, { kind: 'lines' }, { kind: 'terminal' }] satisfies Event[];
    expect(outcomeOf({}, ...early)).toEqual(['ended', 'release']);
    expect(outcomeOf({}, ...early, { kind: 'created' })).toEqual(['ended']);
  });

  test('is over for the client of a job as soon as Redis has it', () => {
    const job = { owned: false, reads: false };
    expect(outcomeOf(job, ...queued)).toEqual(['ended', 'notify_created']);
    expect(outcomeOf(job, ...joining)).toEqual(['ended', 'refund', 'notify_joined']);
  });
});

describe('a request that is refused', () => {
  test('because its key may not: nothing was charged', () => {
    const refused = refuse('rate_limit_exceeded', { message: 'too many' });
    expect(outcomeOf({}, { kind: 'refused', refused })).toEqual([
      'ended',
      'refused rate_limit_exceeded',
    ]);
  });

  test('because Redis has nothing of it: its key gets everything back', () => {
    const outcome = ['ended', 'refund', 'close_reader', 'refused queue_unavailable'];
    const refused: Event = { kind: 'not_created', refused: busy, sent: false };
    expect(outcomeOf({}, ...creating, refused)).toEqual(outcome);
    const again: Event = { ...refused, sent: true };
    expect(outcomeOf({}, ...creating, again)).toEqual(outcome.toSpliced(2, 0, 'withdraw'));
  });

  test('because the reply of Redis is lost: its key gets back its lease alone', () => {
    const outcome = ['ended', 'release', 'withdraw', 'close_reader', 'refused queue_unavailable'];
    expect(outcomeOf({}, ...creating, { kind: 'unknown', refused: busy })).toEqual(outcome);
  });

  test('is not refused if a line of it has come although the reply of Redis is lost', () => {
    for (const reply of [
      { kind: 'unknown', refused: busy },
      { kind: 'not_created', refused: busy, sent: true },
    ] satisfies Event[]) {
      const outcome = outcomeOf({}, ...creating, { kind: 'lines' }, reply);
      expect(outcome).toEqual(['attached', 'notify_created']);
    }
  });
});

describe('a client that leaves', () => {
  test('a request that runs on is not ended by a drain that waits too long for Redis', () => {
    const events: Event[] = [...creating, { kind: 'drain' }, left, { kind: 'drain_overdue' }];
    expect(outcomeOf({ owned: false }, ...events)).toEqual(['creating']);
  });

  test('while its key is charged has asked for nothing', () => {
    expect(outcomeOf({}, left)).toEqual(['ended']);
    expect(outcomeOf({}, left, { kind: 'charged' })).toEqual(['ended', 'refund']);
    expect(outcomeOf({}, left, { kind: 'refused', refused: busy })).toEqual(['ended']);
  });

  test.each<[string, Event, string[]]>([
    ['before the request is sent', { kind: 'called_off' }, ['refund']],
    [
      'before Redis has refused the request',
      { kind: 'not_created', refused: busy, sent: false },
      ['refund'],
    ],
    ['behind the request', { kind: 'created' }, []],
    ['and Redis does not answer', { kind: 'unknown', refused: busy }, ['release', 'withdraw']],
    ['and joined another request', { kind: 'joined', id: other }, ['refund', `leave ${other}`]],
  ])('%s ends the request, and its key is settled by the reply of Redis', (_, reply, settled) => {
    expect(outcomeOf({}, ...creating, left)).toEqual(['withdrawn', 'close_reader', `leave ${own}`]);
    expect(outcomeOf({}, ...creating, left, reply)).toEqual(['ended', ...settled]);
  });

  test('ends the request that Redis has, and leaves as each of its callers', () => {
    const { state, effects } = after({ callers: [caller] }, ...attached, left);
    expect(state.kind).toBe('ended');
    expect(effects).toEqual([
      { kind: 'close_reader' },
      { kind: 'leave', id: own, callers: [caller], reason: 'the client went away' },
    ]);
  });

  test('during the subscription to the request that it joined leaves that one', () => {
    expect(outcomeOf({}, ...joining, left)).toEqual(['ended', `leave ${other}`]);
    expect(outcomeOf({}, ...joining, left, { kind: 'subscribed' })).toEqual(['ended']);
  });

  test('of a request that runs on without it keeps that request, whenever it leaves', () => {
    const kept = { owned: false };
    expect(outcomeOf(kept, ...attached, left)).toEqual(['ended', 'close_reader', 'let_go']);
    expect(outcomeOf(kept, ...creating, left)).toEqual(['creating', 'close_reader', 'let_go']);
    expect(outcomeOf(kept, ...creating, left, { kind: 'created' })).toEqual(['ended']);
    const refused: Event = { kind: 'not_created', refused: busy, sent: false };
    expect(outcomeOf(kept, ...creating, left, refused)).toEqual([
      'ended',
      'refund',
      'close_reader',
    ]);
  });

  test('of a job changes nothing', () => {
    const job = { owned: false, reads: false };
    expect(outcomeOf(job, ...creating, left, { kind: 'created' })).toEqual([
      'ended',
      'notify_created',
    ]);
  });

  test('after the end means nothing', () => {
    expect(outcomeOf({}, ...attached, { kind: 'terminal' }, left)).toEqual(['ended']);
  });
});

describe('an Idempotency-Key that stands for another request', () => {
  test('costs nothing, and its client reads that request', () => {
    expect(outcomeOf({}, ...joining)).toEqual(['joining', 'refund', 'close_reader', 'join']);
    const read = [...joining, { kind: 'subscribed' }] satisfies Event[];
    expect(after({}, ...read).state).toMatchObject({ kind: 'attached', id: other });
    expect(outcomeOf({}, ...read)).toEqual(['attached', 'notify_joined', 'read_joined']);
  });

  test('whose answer cannot be read, or not from the cursor, is left again', () => {
    const refused = refuse('cursor_ahead');
    expect(outcomeOf({}, ...joining, { kind: 'not_subscribed', refused })).toEqual([
      'ended',
      `leave ${other}`,
      'refused cursor_ahead',
    ]);
  });

  test('of a WebSocket that reads the request already adds a caller to that reader', () => {
    expect(outcomeOf({}, ...joining, { kind: 'merged' })).toEqual(['ended', 'notify_joined']);
    const shared: Event = { kind: 'shared', owned: true, callers: [caller] };
    const { effects } = after({ owned: false }, ...attached, shared, left);
    expect(namesOf(effects)).toEqual(['close_reader', `leave ${own}`]);
  });

  test('with a cursor and without a request makes none', () => {
    const continues = { continues: true };
    const outcome = ['ended', 'close_reader', `leave ${own}`, 'refused cursor_ahead'];
    expect(outcomeOf(continues, ...queued)).toEqual(outcome);
    // Also if its client would let the request run on.
    expect(outcomeOf({ ...continues, owned: false }, ...queued)).toEqual(outcome);
  });
});

describe('a drain', () => {
  const drain: Event = { kind: 'drain' };

  test('while the key is charged sends the client away', () => {
    expect(outcomeOf({}, drain)).toEqual(['ended', 'refused server_shutting_down']);
    expect(outcomeOf({}, drain, { kind: 'charged' })).toEqual(['ended', 'refund']);
  });

  test('before the request is sent sends the client away', () => {
    expect(outcomeOf({}, ...creating, drain)).toEqual(['creating', 'await_drain']);
    expect(outcomeOf({}, ...creating, drain, { kind: 'called_off' })).toEqual([
      'ended',
      'refund',
      'close_reader',
      'refused server_shutting_down',
    ]);
  });

  test.each([true, false])('before Redis confirms takes the request back (owned: %s)', (owned) => {
    const overdue = [...creating, drain, { kind: 'drain_overdue' }] satisfies Event[];
    const outcome = ['close_reader', `leave ${own}`, 'refused server_shutting_down'];
    expect(outcomeOf({ owned }, ...overdue)).toEqual(['withdrawn', ...outcome]);
    expect(outcomeOf({ owned }, ...overdue, { kind: 'created' })).toEqual(['ended']);
    const joined: Event = { kind: 'joined', id: other };
    expect(outcomeOf({ owned }, ...overdue, joined)).toEqual(['ended', 'refund', `leave ${other}`]);
  });

  test('hands over what Redis confirms in time: the client learns the id first', () => {
    expect(outcomeOf({}, ...creating, drain, { kind: 'created' })).toEqual([
      'handing_over',
      'notify_created',
      'detach',
    ]);
    expect(outcomeOf({}, ...creating, drain, { kind: 'joined', id: other })).toEqual([
      'handing_over',
      'refund',
      'close_reader',
      'notify_joined',
      'detach',
    ]);
    expect(outcomeOf({}, ...joining, drain)).toEqual(['handing_over', 'notify_joined', 'detach']);
  });

  test('answers a job that Redis confirms in time', () => {
    const job = { owned: false, reads: false };
    expect(outcomeOf(job, ...creating, drain, { kind: 'created' })).toEqual([
      'ended',
      'notify_created',
    ]);
  });

  test('hands over what is read, and the client is sent elsewhere', () => {
    expect(after({}, ...attached, drain).effects).toEqual([
      { kind: 'detach', id: own, owned: true, callers: [] },
    ]);
    const handedOver: Event = { kind: 'handed_over', outcome: 'unknown' };
    expect(outcomeOf({}, ...attached, drain, handedOver)).toEqual([
      'ended',
      'close_reader',
      'notify_moved',
    ]);
  });

  test('does not end the request when the client leaves, and still brings the end of the answer', () => {
    expect(outcomeOf({}, ...attached, drain, left)).toEqual(['ended', 'close_reader']);
    expect(outcomeOf({}, ...attached, drain, { kind: 'terminal' })).toEqual(['ended', 'release']);
  });

  test('tells the client if the request is gone', () => {
    const gone: Event = { kind: 'handed_over', outcome: 'gone' };
    expect(outcomeOf({}, ...attached, drain, gone)).toEqual([
      'ended',
      'close_reader',
      'refused stream_lost',
    ]);
  });

  test('cuts a client that does not take the end of its answer', () => {
    expect(outcomeOf({}, ...attached, { kind: 'terminal' }, drain)).toEqual(['ended', 'cut']);
  });
});

describe('a log that ends without an end', () => {
  test('because its end is overdue: the request is ended, and its client gets an error', () => {
    const overdue: Event = { kind: 'gone', reason: 'overdue' };
    expect(outcomeOf({}, ...attached, overdue)).toEqual([
      'ended',
      'refused answer_overdue',
      `leave ${own}`,
    ]);
    expect(outcomeOf({ owned: false }, ...attached, overdue)).toEqual([
      'ended',
      'refused answer_overdue',
      'let_go',
    ]);
    // The reply of Redis still decides what the key gets back.
    expect(after({}, ...creating, overdue).state.kind).toBe('withdrawn');
  });

  test('because it expired, or cannot be read', () => {
    for (const reason of ['expired', 'broken'] as const) {
      expect(outcomeOf({}, ...attached, { kind: 'gone', reason })).toEqual([
        'ended',
        'release',
        'refused stream_lost',
      ]);
    }
  });

  test('because this ingress cannot read it: it may run on for others, with its lease', () => {
    const broken: Event = { kind: 'gone', reason: 'broken' };
    const runsOn = ['ended', 'let_go', 'refused stream_lost'];
    expect(outcomeOf({ owned: false }, ...attached, broken)).toEqual(runsOn);
    expect(outcomeOf({ callers: [caller] }, ...attached, broken)).toEqual(runsOn);
    const [, effects] = step(beginReading(other), broken);
    expect(namesOf(effects)).toEqual(['refused stream_lost']);
  });

  test('because Redis lost what the client was sent, and the client cannot take it back', () => {
    expect(outcomeOf({}, ...attached, { kind: 'lost' })).toEqual([
      'ended',
      'close_reader',
      `leave ${own}`,
      'refused stream_lost',
    ]);
    expect(outcomeOf({ owned: false }, ...attached, { kind: 'lost' })).toEqual([
      'ended',
      'close_reader',
      'let_go',
      'refused stream_lost',
    ]);
  });

  test('because Redis lost lines that came before its reply: the reply still settles the charge', () => {
    const lost: Event[] = [...creating, { kind: 'lines' }, { kind: 'lost' }];
    const refused = 'refused stream_lost';
    expect(outcomeOf({}, ...lost)).toEqual(['withdrawn', 'close_reader', `leave ${own}`, refused]);
    expect(outcomeOf({ owned: false }, ...lost)).toEqual([
      'withdrawn',
      'close_reader',
      'let_go',
      refused,
    ]);
    const unknown: Event = { kind: 'unknown', refused: busy };
    expect(outcomeOf({}, ...lost, unknown)).toEqual(['ended', 'release', 'withdraw']);
  });
});

describe('an exchange that fails', () => {
  const refused = refuse('internal_error');
  const failed: Event = { kind: 'failed', refused };
  const answer = 'refused internal_error';

  test('answers its client in every state in which the client waits', () => {
    const leaves = ['close_reader', `leave ${own}`, answer];
    expect(outcomeOf({}, failed)).toEqual(['ended', answer]);
    expect(outcomeOf({}, ...creating, failed)).toEqual(['withdrawn', ...leaves]);
    expect(outcomeOf({}, ...joining, failed)).toEqual(['ended', `leave ${other}`, answer]);
    expect(outcomeOf({}, ...queued, failed)).toEqual(['ended', ...leaves]);
    expect(outcomeOf({}, ...attached, failed)).toEqual(['ended', ...leaves]);
    expect(outcomeOf({}, ...attached, { kind: 'drain' }, failed)).toEqual([
      'ended',
      'close_reader',
      answer,
    ]);
  });

  test('leaves a request that is not its own to run on', () => {
    expect(outcomeOf({ owned: false }, ...attached, failed)).toEqual([
      'ended',
      'close_reader',
      'let_go',
      answer,
    ]);
  });

  test('says nothing more to a client that has its answer', () => {
    expect(outcomeOf({}, ...attached, { kind: 'terminal' }, failed)).toEqual(['ended']);
    expect(outcomeOf({}, ...creating, left, failed)).toEqual(['withdrawn']);
  });
});

test('a subscriber leaves without a trace', () => {
  const [state, effects] = step(beginReading(other), left);
  expect(state).toMatchObject({ kind: 'ended', id: other });
  expect(effects).toEqual([{ kind: 'close_reader' }]);
});
