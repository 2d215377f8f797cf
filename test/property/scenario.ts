import type { Prefill } from '@millrace/shared/domain/request';
import fc from 'fast-check';
import { text, words } from './texts.ts';

/* What one example of the property is made of: an answer, a request, upstreams, and what happens. */

/** One choice of an answer. */
export type Spoken = { reasoning: string; content: string; calls: string[] };

/** How an upstream answers when it is asked from zero. */
export type Says = 'same' | 'other' | 'drifts' | 'short';
/** How it answers a conversation that ends with the beginning of its own message. */
export type Continues =
  | 'on'
  | 'anew'
  | 'prose'
  | 'refuses'
  | 'silent'
  | 'white'
  | 'thinks'
  | 'declines';
/** How it repeats the words that it is asked to repeat. */
export type Anchors =
  | 'exact'
  | 'preamble'
  | 'quoted'
  | 'curly'
  | 'spaces'
  | 'drift'
  | 'none'
  | 'anew'
  | 'drifting'
  | 'stops'
  | 'declines';

export type Late = { at: number; how: 'reset' | 'end' | 'error' | 'error event' | 'silent' };

export type Upstream = {
  says: Says;
  /** Where it drifts or stops short: the part of the answer before that, from 0 to 1. */
  turn: number;
  continues: Continues;
  anchors: Anchors;
  /** An error status in place of an answer. */
  status: { code: number; error?: string; retryAfterMs?: number } | 'unreachable' | undefined;
  /** Silent until its first token is late, or for ever. */
  slow: false | 'at first' | 'for ever';
  /** The fault in the middle; `at` from 0 to 1 of its bytes. */
  late: Late | undefined;
  /** Code points of each delta, in turn. */
  deltas: number[];
  /** Bytes of each packet, in turn. */
  packets: number[];
  /** The role has a chunk of its own; otherwise it comes with the first delta. */
  roleApart: boolean;
  /** The finish_reason has one too; otherwise it comes with the last delta. */
  finishApart: boolean;
  usage: 'apart' | 'in the last' | 'in every chunk' | 'with the end again' | 'none';
  /** What it calls its reasoning. */
  thinksAs: 'reasoning_content' | 'reasoning';
  dressed: 'plain' | 'crlf' | 'comments' | 'broken event';
};

export type Op =
  | { do: 'feed'; call: number; packets: number; turns: number }
  | { do: 'wait'; ms: number }
  /** The next append of the current worker: not sent, its answer lost, or late. */
  | { do: 'append'; how: 'fails' | 'loses its answer' | 'lags' }
  | { do: 'take over'; why: 'killed' | 'zombie' | 'lock lost' | 'shutdown' | 'twice' }
  | { do: 'read'; from: number }
  | { do: 'cancel' };

export type Scenario = {
  answer: Spoken[];
  other: string;
  request: { tools: boolean; json: boolean; repeats: boolean; endsWithAssistant: boolean };
  /** Content comes with log probabilities. */
  logprobs: boolean;
  /** Reasoning comes in signed parts, too. */
  signed: boolean;
  /** What comes along with an answer: citations, or values of each chunk. */
  along: 'nothing' | 'citations' | 'token ids';
  reader: 'plain' | 'native';
  continuation: 'auto' | 'strict' | 'off' | 'always';
  onSlow: 'hedge' | 'failover' | 'wait';
  holdToolCalls: boolean;
  maxHeldBytes: number;
  jitter: number;
  /** Of each target in turn: whether it is said to take a prefill, and to call tools behind one. */
  targets: Prefill[];
  /** The last one is always well, whatever its call's number. */
  healthy: boolean;
  /** In the order of the calls; later ones are well. */
  upstreams: Upstream[];
  ops: Op[];
};

const spoken = (shape: { reasoning: boolean; calls: boolean }): fc.Arbitrary<Spoken> =>
  fc.record({
    reasoning: shape.reasoning ? words(8) : fc.constant(''),
    content: shape.calls ? fc.oneof(fc.constant(''), words(8)) : text,
    calls: shape.calls
      ? fc.array(
          words(5).map((value) => JSON.stringify({ value })),
          { maxLength: 3 },
        )
      : fc.constant([]),
  });

const rarely = (weight: number) =>
  fc.oneof({ weight, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });

const sometimes = <T>(
  never: number,
  weight: number,
  arbitrary: fc.Arbitrary<T>,
): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: never, arbitrary: fc.constant(undefined) }, { weight, arbitrary });

const status = fc.constantFrom<NonNullable<Upstream['status']>>(
  'unreachable',
  { code: 500 },
  { code: 503 },
  { code: 429 },
  { code: 429, retryAfterMs: 1500 },
  { code: 429, retryAfterMs: 20_000 },
  { code: 400, error: 'context_length_exceeded' },
  { code: 400, error: 'content_filter' },
  { code: 400 },
  { code: 401 },
);

// The ends of a range are no more likely than its middle.
const part = fc.noBias(fc.nat({ max: 1000 })).map((n) => n / 1000);

/** Of `faulty` + 1, so many break off in the middle. */
const upstream = (faulty: number): fc.Arbitrary<Upstream> =>
  fc.record({
    says: fc.oneof(
      { weight: 5, arbitrary: fc.constant<Says>('same') },
      { weight: 2, arbitrary: fc.constantFrom<Says>('other', 'drifts', 'short') },
    ),
    turn: part,
    continues: fc.oneof(
      { weight: 5, arbitrary: fc.constantFrom<Continues>('on', 'on', 'anew', 'prose', 'refuses') },
      { weight: 2, arbitrary: fc.constantFrom<Continues>('silent', 'white', 'thinks', 'declines') },
    ),
    anchors: fc.constantFrom<Anchors>(
      'exact',
      'preamble',
      'quoted',
      'curly',
      'spaces',
      'drift',
      'none',
      'anew',
      'drifting',
      'stops',
      'declines',
    ),
    status: sometimes(9, 1, status),
    slow: rarely(5).map((slow) => slow && ('at first' as const)),
    late: sometimes(
      1,
      faulty,
      fc.record({
        at: part,
        how: fc.constantFrom<Late['how']>('reset', 'end', 'error', 'error event', 'silent'),
      }),
    ),
    deltas: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 }),
    packets: fc.array(
      fc.oneof(
        { weight: 1, arbitrary: fc.integer({ min: 1, max: 40 }) },
        { weight: 3, arbitrary: fc.integer({ min: 40, max: 400 }) },
        { weight: 1, arbitrary: fc.integer({ min: 400, max: 2000 }) },
      ),
      { minLength: 1, maxLength: 5 },
    ),
    roleApart: fc.boolean(),
    finishApart: fc.boolean(),
    usage: fc.constantFrom('apart', 'in the last', 'in every chunk', 'with the end again', 'none'),
    thinksAs: fc.constantFrom('reasoning_content', 'reasoning'),
    dressed: fc.constantFrom('plain', 'plain', 'plain', 'crlf', 'comments', 'broken event'),
  });

/** The first one never answers, and the one that is asked beside it refuses. */
const mute = (first: Upstream, rest: Upstream[], status: Upstream['status']): Upstream[] => [
  { ...first, status: undefined, late: undefined, slow: 'for ever' },
  { ...(rest[0] ?? first), status, slow: false },
  ...rest.slice(1),
];

const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 14,
    arbitrary: fc.record({
      do: fc.constant('feed' as const),
      call: fc.nat({ max: 3 }),
      packets: fc.noBias(fc.integer({ min: 1, max: 12 })),
      turns: fc.nat({ max: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.constantFrom(1, 20, 400, 1100, 1100, 5000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      how: fc.constantFrom('fails', 'loses its answer', 'lags'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('take over' as const),
      why: fc.constantFrom(
        'killed',
        'killed',
        'zombie',
        'zombie',
        'lock lost',
        'shutdown',
        'twice',
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('read' as const), from: part }) },
);

type Shape = { choices: number; reasoning: boolean; tools: boolean; json: boolean };

const shape: fc.Arbitrary<Shape> = fc.record({
  choices: rarely(9).map((two) => (two ? 2 : 1)),
  reasoning: rarely(8),
  tools: rarely(6),
  json: rarely(9),
});

export const scenario: fc.Arbitrary<Scenario> = shape.chain(({ choices, reasoning, tools, json }) =>
  fc.record({
    answer: fc.array(spoken({ reasoning, calls: tools }), {
      minLength: choices,
      maxLength: choices,
    }),
    other: fc.oneof(fc.constant('Ω another answer, from its first letter on.'), text),
    request: fc.record({
      tools: fc.constant(tools),
      json: fc.constant(json),
      repeats: rarely(3),
      endsWithAssistant: rarely(12),
    }),
    logprobs: rarely(15),
    signed: fc.boolean(),
    along: fc.constantFrom('nothing', 'citations', 'token ids'),
    reader: fc.constantFrom('plain', 'native'),
    continuation: fc.oneof(
      { weight: 5, arbitrary: fc.constant('auto' as const) },
      { weight: 3, arbitrary: fc.constantFrom('strict', 'off', 'always') },
    ),
    onSlow: fc.constantFrom('hedge', 'hedge', 'failover', 'wait'),
    holdToolCalls: rarely(3).map((not) => !not),
    maxHeldBytes: fc.constantFrom(200, 1_000_000),
    jitter: fc.constantFrom(0, 0, 0.5, 1),
    targets: fc.array(fc.constantFrom<Prefill>(false, false, true, 'with-tools'), {
      minLength: 1,
      maxLength: 3,
    }),
    healthy: rarely(2),
    upstreams: fc
      .tuple(upstream(6), fc.noBias(fc.array(upstream(1), { maxLength: 5 })), rarely(4), status)
      .map(([first, rest, isMute, how]) => (isMute ? mute(first, rest, how) : [first, ...rest])),
    ops: fc.oneof(
      { weight: 9, arbitrary: fc.array(op, { maxLength: 25, size: 'max' }) },
      {
        weight: 1,
        arbitrary: fc.array(op, { maxLength: 12 }).map((ops): Op[] => [...ops, { do: 'cancel' }]),
      },
    ),
  }),
);
