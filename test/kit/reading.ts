import type { Arrival, Ended } from './exchange.ts';

/* Judges what a reader received, without knowledge of the server: used by tests, bench and crashtest. */

export type ApiError = { message: string; type?: string | null; code?: string | null };

export type Reading = {
  /**
   * `whole`: complete, and marked so. `error`: one clear error, not marked as complete. `bad`: anything that
   * a client would misinterpret.
   */
  end: 'whole' | 'error' | 'bad';
  /** Why it is `bad`. */
  why: string;
  status: number;
  text: string;
  error: ApiError | undefined;
  finishReason: string | undefined;
  usage: { prompt_tokens?: number; completion_tokens?: number } | undefined;
  /** The `model` of the answer. */
  model: string | undefined;
  /** Deviations that a strict client would reject, although the text is right. */
  oddities: readonly string[];
  /** When each visible text arrived; milliseconds since 1970. */
  textAt: readonly number[];
};

type Chunk = {
  id?: string;
  model?: string;
  error?: ApiError;
  usage?: Reading['usage'] | null;
  choices?: {
    delta?: { role?: string | null; content?: string | null };
    message?: { content?: string | null };
    finish_reason?: string | null;
  }[];
};

const nothing = {
  why: '',
  text: '',
  error: undefined,
  finishReason: undefined,
  usage: undefined,
  model: undefined,
  oddities: [],
  textAt: [],
} satisfies Partial<Reading>;

/** The answer to `POST /v1/chat/completions`, streamed or not. */
export function readAnswer(ended: Ended): Reading {
  const { how, status, headers } = ended;
  const bad = (why: string): Reading => ({ ...nothing, end: 'bad', status, why });
  if (how === 'refused') return bad('no connection');
  if (how === 'hang') return { ...readStream(ended), end: 'bad', why: 'hangs' };
  if (status === 0) return bad('the connection broke before a response');
  return String(headers['content-type']).includes('text/event-stream')
    ? readStream(ended)
    : readBody(ended, bad);
}

function readBody(
  { how, status, headers, text: body }: Ended,
  bad: (why: string) => Reading,
): Reading {
  if (how === 'broken') return bad('the response broke off');
  const value = parse(body);
  if (!String(headers['content-type']).includes('json') || !value) {
    return bad(`no JSON but ${headers['content-type']}, with status ${status}`);
  }
  if (value.error) {
    if (status < 400) return bad(`an error with status ${status}`);
    if (typeof value.error.message !== 'string') return bad('an error without a message');
    return { ...nothing, end: 'error', status, error: value.error };
  }
  const choice = value.choices?.[0];
  if (status !== 200 || !choice?.finish_reason) return bad(`no answer, with status ${status}`);
  return {
    ...nothing,
    end: 'whole',
    status,
    text: choice.message?.content ?? '',
    finishReason: choice.finish_reason,
    usage: value.usage ?? undefined,
    model: value.model,
  };
}

function readStream({ how, status, events, fault }: Ended): Reading {
  const messages = events.filter(({ event }) => event === 'message' || event === 'error');
  const chunks = messages.filter(({ data }) => data !== '[DONE]').map(({ data }) => parse(data));
  const known = chunks.filter((chunk) => chunk !== undefined);
  const choices = known.flatMap((chunk) => chunk.choices ?? []);
  const finishes = choices.flatMap(({ finish_reason: reason }) => reason ?? []);
  const errors = known.flatMap(({ error }) => error ?? []);
  const terminators = messages.filter(({ data }) => data === '[DONE]').length;
  const usages = known.flatMap(({ usage }) => usage ?? []);
  const reading = {
    ...nothing,
    status,
    text: choices.map(({ delta }) => delta?.content ?? '').join(''),
    error: errors[0],
    finishReason: finishes[0],
    usage: usages.at(-1),
    model: known.find(({ model }) => model)?.model,
    oddities: [...odditiesOf(known, choices, usages.length, how), ...(fault ? [fault] : [])],
    textAt: messages.filter(saysText).map(({ at }) => at),
  };
  const bad = (why: string): Reading => ({ ...reading, end: 'bad', why });
  const last = messages.at(-1)?.data;
  if (known.length < chunks.length) return bad('an event that is no JSON');
  if (errors.length > 0) {
    if (errors.length > 1) return bad('more than one error');
    if (terminators > 0) return bad('[DONE] in spite of an error');
    if (parse(last ?? '')?.error === undefined) return bad('something after the error');
    return { ...reading, end: 'error' };
  }
  if (finishes.length > 1) return bad('finish_reason twice');
  if (terminators > 1) return bad('[DONE] twice');
  if (finishes.length === 0) {
    return bad(terminators > 0 || how === 'complete' ? 'truncated, and looks complete' : 'cut off');
  }
  if (last !== '[DONE]') return bad(terminators > 0 ? 'something after [DONE]' : 'no [DONE]');
  return { ...reading, end: 'whole' };
}

function odditiesOf(
  chunks: readonly Chunk[],
  choices: NonNullable<Chunk['choices']>,
  usages: number,
  how: Ended['how'],
): string[] {
  const roles = choices.filter(({ delta }) => delta?.role != null).length;
  const ids = new Set(chunks.flatMap(({ id }) => id ?? [])).size;
  const models = new Set(chunks.flatMap(({ model }) => model ?? [])).size;
  return [
    ...(roles > 1 ? [`${roles} role deltas`] : []),
    ...(ids > 1 ? [`${ids} ids`] : []),
    ...(models > 1 ? [`${models} models`] : []),
    ...(usages > 1 ? [`usage ${usages} times`] : []),
    ...(how === 'broken' ? ['the connection broke after the end'] : []),
  ];
}

function saysText({ data }: Arrival): boolean {
  const content = parse(data)?.choices?.[0]?.delta?.content;
  return typeof content === 'string' && content !== '';
}

/** The visible text of one event of a stream. */
export const textOf = (data: string): string =>
  (parse(data)?.choices ?? []).map(({ delta }) => delta?.content ?? '').join('');

function parse(text: string): Chunk | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as Chunk;
  } catch {
    return undefined;
  }
}

export type Story = {
  /** The final text: after the last `reset`. */
  text: string;
  /** The text that each `reset` took back. */
  takenBack: string[];
  /** The terminal events: exactly one in a complete stream. */
  ends: Event[];
};

type Event = Pick<Arrival, 'event' | 'data'>;

const terminals: ReadonlySet<string> = new Set(['done', 'failed', 'cancelled']);

export const isTerminal = (event: string): boolean => terminals.has(event);

/** Reads the events of a job, also of several consecutive connections. */
export function storyOf(events: readonly Event[]): Story {
  const takenBack: string[] = [];
  let text = '';
  for (const { event, data } of events) {
    // A chunk that is not JSON is a fault, not an empty text.
    if (event === 'chunk') JSON.parse(data);
    if (event === 'chunk' || event === 'message') text += textOf(data);
    if (event === 'reset') {
      takenBack.push(text);
      text = '';
    }
  }
  return { text, takenBack, ends: events.filter(({ event }) => isTerminal(event)) };
}

/** Two consecutive entry ids of which the second is not greater; undefined if all of them rise. */
export function fallingId(events: readonly { id: string | undefined }[]): string | undefined {
  let before: string | undefined;
  for (const { id } of events) {
    if (!id) continue;
    if (before !== undefined && !isBehind(id, before)) return `${id} after ${before}`;
    before = id;
  }
  return undefined;
}

function isBehind(id: string, before: string): boolean {
  const [run = NaN, seq = NaN] = id.split('-').map(Number);
  const [runBefore = NaN, seqBefore = NaN] = before.split('-').map(Number);
  return run > runBefore || (run === runBefore && seq > seqBefore);
}

/** The longest time between two of them; 0 if there are fewer than two. */
export const longestGap = (times: readonly number[]): number =>
  times.reduce((longest, at, i) => Math.max(longest, at - (times[i - 1] ?? at)), 0);

/** How a text differs from the expected one; undefined if it does not. */
export function difference(text: string, expected: string): string | undefined {
  if (text === expected) return undefined;
  if (expected.startsWith(text)) {
    return `truncated: ${text.length} of ${expected.length} characters, and looks complete`;
  }
  let at = 0;
  while (at < text.length && text[at] === expected[at]) at++;
  return `garbled from character ${at} on: …${text.slice(Math.max(0, at - 10), at + 30)}`;
}
