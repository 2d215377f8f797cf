import type { IncomingHttpHeaders } from 'node:http';
import { anchoredPieces, overlap, piecesAfter } from './continuation.ts';
import type { Options } from './keys.ts';
import { describesMembers, valueOf } from './schema-value.ts';
import type { AnswerEvent, Asked, Call, FinishReason, Step } from './steps.ts';
import {
  bigText,
  EXPECTED_REFUSAL,
  expectedArguments,
  expectedReasoning,
  expectedTokens,
  piecesOf,
  wordsOf,
} from './text.ts';

/** Arguments are cut inside words, as real models do. */
const ARGUMENT_PIECE = 7;
const ECHO_PIECE = 40;

/** The content of an answer, delta by delta; the choices of one delta arrive together. */
export interface Answer {
  readonly starts: readonly AnswerEvent[];
  readonly deltas: readonly (readonly AnswerEvent[])[];
  readonly finish: readonly AnswerEvent[];
  readonly usage: AnswerEvent;
}

export function answerTo(call: Call): Answer {
  const { options, asked, format } = call;
  // A tool result is answered with text: an agent that always gets a call would never end.
  const callsNone = asked.tools.length === 0 || asked.hasToolResult;
  const say = options.say === 'tools' && callsNone ? 'text' : options.say;
  const count = Math.min(options.n || asked.n, format.maxChoices);
  const choices = Array.from({ length: count }, (_, choice) => choice);
  const extra = say === 'echo' ? { extra: echoedHeaders(call.headers) } : {};
  const reasoning = expectedReasoning(options.reasoning).map((text) =>
    choices.map((choice): AnswerEvent => ({ type: 'reasoning', choice, text })),
  );
  const spoken = choices.map((choice) => spokenBy(call, say, choice));
  const length = Math.max(...spoken.map(({ events }) => events.length));
  const deltas = Array.from({ length }, (_, at) =>
    spoken.flatMap(({ events }) => events[at] ?? []),
  );
  const usage = {
    completion:
      spoken.reduce((sum, { events }) => sum + events.length, 0) +
      reasoning.length * choices.length,
    reasoning: reasoning.length * choices.length,
  };
  return {
    starts: choices.map((choice) => ({ type: 'start', choice, say, ...extra })),
    deltas: [...reasoning, ...deltas],
    finish: spoken.map(({ reason }, choice) => ({
      type: 'finish',
      choice,
      reason,
      ...(choice === choices.length - 1 ? { usage } : {}),
    })),
    usage: { type: 'usage', usage },
  };
}

/** The head, and the deltas from number `from` up to, not including, number `to`. */
export function* spoken(
  { starts, deltas }: Answer,
  { first, pace, role }: Options,
  from = 0,
  to = deltas.length,
): Generator<Step> {
  if (from === 0) {
    yield { kind: 'head' };
    if (role === 1) yield* said(starts);
    if (first > 0) yield { kind: 'wait', ms: first };
    // An answer that is cut before its first token has no role chunk; an empty answer has one.
    if (role === 0 && (to > 0 || deltas.length === 0)) yield* said(starts);
  }
  for (let at = from; at < Math.min(to, deltas.length); at += 1) {
    if (at > 0 && pace > 0) yield { kind: 'wait', ms: pace };
    yield* said(deltas[at] ?? []);
  }
}

/** The finish_reason, the usage and the terminator. */
export function* closing({ finish, usage }: Answer): Generator<Step> {
  yield* said([...finish, usage, { type: 'done' }]);
  yield { kind: 'end' };
}

export function* said(events: readonly AnswerEvent[]): Generator<Step> {
  for (const event of events) yield { kind: 'say', event };
}

/** The healthy answer, also of a fault that has healed. */
export function* healthy(call: Call): Generator<Step> {
  if (call.options.prefill === 'reject' && call.asked.trailingAssistant !== undefined) {
    const error = call.format.error('prefill_unsupported');
    const body = call.format.errorBody(error, call.requestId);
    yield { kind: 'reply', reply: { status: error.status, contentType: 'application/json', body } };
    return;
  }
  const answer = answerTo(call);
  yield* spoken(answer, call.options);
  yield* closing(answer);
}

interface Spoken {
  readonly events: readonly AnswerEvent[];
  readonly reason: FinishReason;
}

function spokenBy(call: Call, say: Options['say'], choice: number): Spoken {
  const { options, asked } = call;
  const text = (pieces: readonly string[]): AnswerEvent[] =>
    pieces.map((piece) => ({ type: 'text', choice, text: piece }));
  switch (say) {
    case 'tools':
      return { events: toolDeltas(call, choice), reason: 'tool_calls' };
    case 'refusal':
      return {
        events: wordsOf(EXPECTED_REFUSAL).map((piece) => ({
          type: 'refusal',
          choice,
          text: piece,
        })),
        reason: 'stop',
      };
    case 'echo':
      return { events: text(piecesOf(call.rawBody, ECHO_PIECE)), reason: options.finish };
    case 'big':
      return {
        events: text(piecesOf(bigText(options.size), Math.max(1, options.piece))),
        reason: options.finish,
      };
    default: {
      const pieces = textPieces(call, choice);
      const cut = asked.maxTokens !== undefined && asked.maxTokens < pieces.length;
      return {
        events: text(cut ? pieces.slice(0, asked.maxTokens) : pieces),
        reason: cut ? 'length' : options.finish,
      };
    }
  }
}

function textPieces({ options, asked }: Call, choice: number): string[] {
  const tokens =
    jsonPieces(asked) ?? expectedTokens({ ...textStyle(options), tokens: options.tokens, choice });
  if (options.prefill === 'continue' && asked.trailingAssistant !== undefined) {
    return piecesAfter(tokens, overlap(tokens.join(''), asked.trailingAssistant));
  }
  return options.anchor === 'off' ? tokens : anchoredPieces(tokens, asked.text, options.anchor);
}

/** The answer as JSON, if the request asks for it. */
function jsonPieces({ output }: Asked): string[] | undefined {
  if (output.kind === 'text') return undefined;
  const value = output.kind === 'schema' ? valueOf(output.schema) : { simulated: true };
  return piecesOf(JSON.stringify(value), ARGUMENT_PIECE);
}

function textStyle({ seed, diverge, repeat, unicode, quotes }: Options) {
  return { seed, diverge, repeat, unicode, quotes };
}

function toolDeltas({ options, asked }: Call, choice: number): AnswerEvent[] {
  return Array.from({ length: options.calls }, (_, call) => {
    const { name, schema } = asked.tools[call % asked.tools.length] ?? { name: '', schema: {} };
    const given = describesMembers(schema)
      ? JSON.stringify(valueOf(schema))
      : expectedArguments(call, options.words);
    const pieces = piecesOf(given, ARGUMENT_PIECE);
    return [
      { type: 'tool-call', choice, call, name } satisfies AnswerEvent,
      ...pieces.map((text): AnswerEvent => ({ type: 'tool-arguments', choice, call, text })),
    ];
  }).flat();
}

/** Request headers that are echoed; never a key (`x-api-key` is Anthropic's, `x-goog-api-key` Google's). */
const ECHOED =
  /^(?!x-(?:goog-)?api-key$)(?:content-type|accept|user-agent|traceparent|tracestate|idempotency-key|openai-.*|anthropic-.*|x-.*)$/u;

function echoedHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const echoed = Object.entries(headers).filter(([name]) => ECHOED.test(name));
  return Object.fromEntries(echoed.map(([name, value]) => [name, String(value)]));
}
