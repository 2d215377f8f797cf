import { ANCHOR_STYLES } from './continuation.ts';
import { ERROR_NAMES } from './errors.ts';

interface NumberKey {
  readonly kind: 'number';
  readonly default: number;
  readonly max: number;
  /** The least value besides 0. */
  readonly min: number;
  readonly help: string;
}
interface ChoiceKey<T extends string> {
  readonly kind: 'choice';
  readonly default: T;
  readonly values: readonly T[];
  readonly help: string;
}
interface WordKey {
  readonly kind: 'word';
  readonly default: string;
  readonly help: string;
}

const DAY_MS = 86_400_000;
const count = (value: number, max: number, help: string, min = 1): NumberKey => ({
  kind: 'number',
  default: value,
  max,
  min,
  help,
});
const milliseconds = (value: number, help: string): NumberKey => count(value, DAY_MS, help);
const flag = (help: string): NumberKey => count(0, 1, help);
const choice = <const T extends string>(values: readonly T[], help: string): ChoiceKey<T> => ({
  kind: 'choice',
  // The first value is the default.
  default: values[0] as T,
  values,
  help,
});
const word = (help: string): WordKey => ({ kind: 'word', default: '', help });

/** Every key of a simulated model name: its default, its bound and one line of help. */
export const KEYS = {
  tokens: count(60, 200_000, 'text tokens in the answer'),
  pace: milliseconds(0, 'ms between two deltas; 0 sends everything in one write'),
  first: milliseconds(0, 'ms between the response head and the first token'),
  role: flag('1 sends the role chunk with the head instead of with the first token'),
  say: choice(['text', 'tools', 'refusal', 'echo', 'big'], 'the content of the answer'),
  seed: count(0, 2 ** 31, 'another text'),
  diverge: count(0, 200_000, 'the text differs from this token on; 0 is never'),
  repeat: count(0, 200_000, 'the numbered words start again after this many; 0 is never'),
  unicode: flag('1 adds emoji and other multi-byte text'),
  quotes: flag('1 puts every fifth word in double quotes'),
  n: count(
    0,
    16,
    "choices; 0 is the request's own n; always 1 in other formats than OpenAI's chat completions",
  ),
  reasoning: count(0, 200_000, 'reasoning or thinking deltas before the text'),
  logprobs: flag('1 sends logprobs unasked; chat completions only'),
  calls: count(1, 16, 'parallel tool calls'),
  words: count(8, 10_000, "words in each tool call's arguments"),
  finish: choice(['stop', 'length', 'content_filter'], 'finish_reason of an answer in text'),
  usage: choice(
    ['asked', 'always', 'never', 'finish'],
    'when usage is reported; finish: on the finish chunk; chat completions only',
  ),
  prefill: choice(['ignore', 'continue', 'reject'], 'handling of a trailing assistant message'),
  anchor: choice(ANCHOR_STYLES, 'how the last words are repeated on request'),
  bytes: count(0, 1_000_000, 'splits the response into packets of this many bytes; 0 does not'),
  eol: choice(['lf', 'crlf', 'cr'], 'line ends of the event stream'),
  nospace: flag('1 sends data: without the space after it'),
  comments: flag('1 sends a comment before each event'),
  vendor: flag('1 adds unknown fields, integers above 2^53 and odd JSON spacing'),
  size: count(8_388_608, 268_435_456, 'bytes of text'),
  piece: count(16_384, 268_435_456, 'bytes of text in one delta'),
  after: count(40, 200_000, 'deltas before the fault'),
  byte: count(0, 1_000_000, 'bytes of the next event that still arrive before the cut'),
  how: choice(['close', 'reset'], 'how the socket is cut: FIN or RST'),
  silence: milliseconds(0, 'ms of silence; 0 is for ever'),
  every: milliseconds(1000, 'ms between two comments or pings'),
  headers: milliseconds(5000, 'ms before the response head'),
  linger: milliseconds(0, 'ms between the last event and the end of the response'),
  done: count(1, 1, '0 omits the terminator'),
  code: count(0, 599, "HTTP status; 0 is the error's own", 200),
  error: choice(['usual', ...ERROR_NAMES], 'which error; the usual one of the status by default'),
  echo: flag("1 repeats the text of the request in the error's message"),
  body: choice(['json', 'html', 'empty'], 'what an error response carries'),
  retryAfter: count(0, 86_400, 'Retry-After in seconds; 0 is no header'),
  retryAfterDate: flag('1 writes Retry-After as an HTTP date, never earlier than it would be'),
  retryAfterMs: milliseconds(0, 'retry-after-ms header; 0 is none'),
  resetHeaders: count(0, 86_400, 'rate limit headers with a reset in this many s; 0 is none'),
  times: count(0, 1_000_000, 'how many requests get the fault before it heals; 0 is all'),
  down: milliseconds(0, 'ms from the first request until the fault heals; 0 is never'),
  key: word('keeps the memory of this fault apart from that of other tests'),
} as const satisfies Record<string, NumberKey | ChoiceKey<string> | WordKey>;

export type KeyName = keyof typeof KEYS;

type ValueOf<K> = K extends ChoiceKey<infer T> ? T : K extends NumberKey ? number : string;

/** The parsed values of one model name; keys that were not given have their defaults. */
export type Options = { readonly [K in KeyName]: ValueOf<(typeof KEYS)[K]> };

const TEXT: readonly KeyName[] = [
  'tokens',
  'pace',
  'first',
  'role',
  'say',
  'seed',
  'diverge',
  'repeat',
  'unicode',
  'quotes',
  'n',
  'reasoning',
  'logprobs',
  'calls',
  'words',
  'finish',
  'usage',
  'prefill',
  'anchor',
];
const WIRE: readonly KeyName[] = ['bytes', 'eol', 'nospace', 'comments', 'vendor'];
const FAULT: readonly KeyName[] = ['times', 'down', 'key'];

/** Keys of every behaviour that answers. */
export const ANSWER_KEYS: readonly KeyName[] = [...TEXT, ...WIRE];
/** Keys of every fault, including those of the healthy answer, into which it heals. */
export const FAULT_KEYS: readonly KeyName[] = [...ANSWER_KEYS, ...FAULT];

/** Parses one value strictly; a string says what was expected. */
export function readValue(name: KeyName, text: string): { value: number | string } | string {
  const key: NumberKey | ChoiceKey<string> | WordKey = KEYS[name];
  switch (key.kind) {
    case 'number': {
      const value = /^\d{1,10}$/u.test(text) ? Number(text) : Number.NaN;
      const fits = value === 0 || (value >= key.min && value <= key.max);
      return fits ? { value } : `0 or a whole number from ${key.min} to ${key.max}`;
    }
    case 'choice':
      return key.values.includes(text) ? { value: text } : `one of ${key.values.join(', ')}`;
    default:
      return /^[\w.-]{1,64}$/u.test(text) ? { value: text } : 'a word of letters, digits, _ . -';
  }
}

/** All keys at their defaults, with some replaced. The values are those of `readValue` or the table. */
export function optionsWith(values: Readonly<Record<string, number | string>>): Options {
  const defaults = Object.entries(KEYS).map(([name, key]) => [name, key.default]);
  return { ...Object.fromEntries(defaults), ...values } as Options;
}
