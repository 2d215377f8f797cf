import { healthy } from './answer.ts';
import * as fault from './behaviours.ts';
import type { KeyName, Options } from './keys.ts';
import { ANSWER_KEYS, FAULT_KEYS, KEYS } from './keys.ts';
import type { Script } from './steps.ts';

/** One behaviour of a simulated provider. */
export interface Behaviour {
  readonly help: string;
  readonly script: Script;
  readonly keys: readonly KeyName[];
  readonly defaults: Partial<Options>;
  /** Keys with another name here: the name in the model name → the name in the table. */
  readonly renamed: Readonly<Record<string, KeyName>>;
  /** Faults heal (`times`, `down`) into the healthy answer. */
  readonly fault: boolean;
  /** The answer depends only on the options and a few numbers of the request, so it can be cached. */
  readonly reusable: boolean;
}

const answers = (
  help: string,
  defaults: Partial<Options> = {},
  extra: Partial<Behaviour> = {},
): Behaviour => ({
  help,
  script: healthy,
  keys: ANSWER_KEYS,
  defaults,
  renamed: {},
  fault: false,
  reusable: true,
  ...extra,
});

const fails = (
  help: string,
  script: Script,
  keys: readonly KeyName[] = [],
  defaults: Partial<Options> = {},
): Behaviour => ({
  help,
  script,
  keys: [...FAULT_KEYS, ...keys],
  defaults,
  renamed: {},
  fault: true,
  reusable: false,
});

/** The options of a healed fault: those that made it a fault are back at the table's default. */
export function healedOptions({ defaults }: Behaviour, options: Options): Options {
  const healed = Object.keys(defaults).map((key) => [key, KEYS[key as KeyName].default]);
  return { ...options, ...Object.fromEntries(healed) } as Options;
}

const CUT: readonly KeyName[] = ['after', 'byte', 'how'];
const STALL: readonly KeyName[] = ['after', 'silence', 'how'];
const STATUS: readonly KeyName[] = [
  'code',
  'error',
  'echo',
  'body',
  'retryAfter',
  'retryAfterDate',
  'retryAfterMs',
  'resetHeaders',
];
const ERROR: readonly KeyName[] = ['after', 'code', 'error', 'echo', 'done', 'linger'];

/** S01 to S16 of the public failoverbench catalogue, in its own order and with its own numbers. */
const CATALOGUE: Readonly<Record<string, Behaviour>> = {
  s01: fails('429 with Retry-After: 2, once', fault.status, STATUS, {
    code: 429,
    retryAfter: 2,
    times: 1,
  }),
  s02: fails('429 without Retry-After, always', fault.status, STATUS, { code: 429 }),
  s03: fails('500 once', fault.status, STATUS, { code: 500, times: 1 }),
  s04: fails('503 always', fault.status, STATUS, { code: 503 }),
  s05: fails('TCP reset before headers, once', fault.resetBeforeHeaders, [], { times: 1 }),
  s06: fails('accepts, never answers', fault.silent),
  s07: fails('headers at once, first token after 20 s', healthy, [], { first: 20_000 }),
  s08: fails('cut after 40 of 60 tokens, no terminator', fault.cut, CUT),
  s09: fails('20 tokens, then 30 s of silence, then close', fault.stall, STALL, {
    after: 20,
    silence: 30_000,
  }),
  s10: fails('one malformed JSON event', fault.unreadableEvent, ['after'], { after: 9 }),
  s11: fails('complete, but no [DONE] or message_stop', fault.noTerminator, ['linger']),
  s12: fails('400 context_length_exceeded', fault.status, STATUS, {
    error: 'context_length_exceeded',
  }),
  s13: fails('400 content filter', fault.status, STATUS, { error: 'content_filter' }),
  s14: fails('cut after 40 of 60 tokens; its fallback is no-prefill', fault.cut, CUT),
  s15: fails('503 for 60 s, then healthy', fault.status, STATUS, { code: 503, down: 60_000 }),
  s16: fails('503 always', fault.status, STATUS, { code: 503 }),
};

/** Every behaviour by its name. */
export const BEHAVIOURS: Readonly<Record<string, Behaviour>> = {
  healthy: answers('a whole answer'),
  tools: answers(
    'tool calls, when the request has tools and ends with none of their results; else text',
    { say: 'tools' },
    { reusable: false },
  ),
  refusal: answers('a refusal', { say: 'refusal' }),
  length: answers('an answer that ends with finish_reason length', { finish: 'length' }),
  'content-filter-finish': answers('one that ends with content_filter', {
    finish: 'content_filter',
  }),
  echo: answers(
    'the exact text of the request body as the answer',
    { say: 'echo' },
    { reusable: false },
  ),
  big: answers(
    'one huge answer of N bytes',
    { say: 'big' },
    {
      keys: [...ANSWER_KEYS.filter((key) => key !== 'bytes'), 'piece'],
      renamed: { bytes: 'size' },
      reusable: false,
    },
  ),
  prefill: answers(
    'continues a trailing assistant message',
    { prefill: 'continue' },
    { reusable: false },
  ),
  'no-prefill': answers(
    '400 for a trailing assistant message',
    { prefill: 'reject' },
    { reusable: false },
  ),
  anchored: answers(
    'repeats the last words it is shown, then goes on',
    { anchor: 'exact' },
    { reusable: false },
  ),
  ...CATALOGUE,
  status: fails(
    "an error response; overloaded by default: 503, and 529 in Anthropic's format",
    fault.status,
    STATUS,
  ),
  'html-200': fails('200 with a page of HTML', fault.htmlAs200),
  'json-error-200': fails('200 with a JSON error', fault.jsonErrorAs200, ['code', 'error', 'echo']),
  'empty-200': fails('200 with no body', fault.emptyAs200),
  'reset-before-headers': fails('TCP reset before headers', fault.resetBeforeHeaders),
  silent: fails('accepts, never answers', fault.silent),
  'slow-headers': fails('the response head comes late', fault.slowHeaders, ['headers']),
  cut: fails('the socket is closed in mid-answer', fault.cut, CUT),
  stall: fails('falls silent in mid-answer', fault.stall, STALL, { after: 20 }),
  'stall-with-comments': fails(
    'nothing but keep-alives: comments, or events where the format has them',
    fault.stallWithComments,
    [...STALL, 'every'],
    { after: 0 },
  ),
  'malformed-event': fails(
    'one malformed JSON event more, with no part of the answer',
    fault.malformedEvent,
    ['after'],
    {
      after: 20,
    },
  ),
  'unreadable-event': fails(
    'one malformed JSON event more, which looks like a part of the answer',
    fault.unreadableEvent,
    ['after'],
    {
      after: 20,
    },
  ),
  'damaged-event': fails(
    'the JSON of one event of the answer is cut',
    fault.damagedEvent,
    ['after'],
    {
      after: 20,
    },
  ),
  'no-terminator': fails('complete, but no [DONE] or message_stop', fault.noTerminator, ['linger']),
  'end-without-finish': fails(
    'a clean end in mid-answer',
    fault.endWithoutFinish,
    ['after', 'done', 'linger'],
    { done: 0 },
  ),
  'role-only': fails('a role chunk and nothing else', fault.roleOnly, ['done', 'linger']),
  'reset-after-finish': fails('TCP reset after finish_reason', fault.resetAfterFinish, ['how'], {
    how: 'reset',
  }),
  'error-first-event': fails('an error as first event', fault.errorFirst, ERROR, { done: 0 }),
  'error-event': fails('an event named error', fault.errorNamed, ERROR, { done: 0 }),
  'error-in-chunk': fails('an error object beside empty choices', fault.errorInChunk, ERROR),
};
