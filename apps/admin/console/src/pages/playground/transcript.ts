/*
 * A stream of the job API as its reader sees it: the text with its seams, and what is known of each attempt. Times are milliseconds
 * of one clock, the reader's own.
 */

/** `POST /v1/jobs` to the terminal event. */
export type Status = 'sending' | 'queued' | 'running' | 'completed' | 'failed' | 'cancelled';

export type AttemptSeen = {
  run: number;
  attempt: number;
  provider: string;
  model: string;
  /** start | continue | replay | anchor | restart */
  mode: string;
  at: number;
};

/** Where another attempt continues the answer. */
export type Seam = {
  /** Tokens that the reader had before it. */
  token: number;
  from: AttemptSeen;
  to: AttemptSeen;
  /** `worker`: another worker continues, because a later run does. */
  cause: 'worker' | 'provider';
  /** Of the last text before it. */
  from_at: number;
  /** From the last text before it to the first one after it; undefined: none has come yet. */
  gapMs: number | undefined;
};

export type Piece =
  | { kind: 'answer' | 'reasoning' | 'tool'; text: string }
  /** `index` of `seams`. */
  | { kind: 'seam'; index: number };

export type Transcript = {
  status: Status;
  sentAt: number;
  queue: { position: number; waitMs: number | undefined } | undefined;
  attempts: readonly AttemptSeen[];
  pieces: readonly Piece[];
  seams: readonly Seam[];
  /** Chunks with a visible part: about the tokens. */
  tokens: number;
  firstAt: number | undefined;
  lastAt: number | undefined;
  endedAt: number | undefined;
  /** How often the reader had to discard what it had. */
  resets: number;
  /** Characters of the pieces; past `maxTextLength` the rest is counted, not kept. */
  length: number;
  finishReason: string | undefined;
  /** Output tokens as the end says; undefined before. */
  outputTokens: number | undefined;
  error: { code: string; message: string } | undefined;
};

/** Characters of one answer that the page keeps. */
export const maxTextLength = 1_000_000;
/** Attempts and seams that the page keeps of one answer; an answer has far fewer. */
const maxAttempts = 200;

export const startTranscript = (sentAt: number): Transcript => ({
  status: 'sending',
  sentAt,
  queue: undefined,
  attempts: [],
  pieces: [],
  seams: [],
  tokens: 0,
  firstAt: undefined,
  lastAt: undefined,
  endedAt: undefined,
  resets: 0,
  length: 0,
  finishReason: undefined,
  outputTokens: undefined,
  error: undefined,
});

export const isOver = ({ status }: Transcript): boolean =>
  status === 'completed' || status === 'failed' || status === 'cancelled';

/** The transcript after one event of `GET /v1/jobs/{id}/events`. Events that it does not know change nothing. */
export function addEvent(before: Transcript, name: string, data: unknown, at: number): Transcript {
  const fields = objectOf(data);
  switch (name) {
    case 'queued':
      return {
        ...before,
        status: before.tokens > 0 ? before.status : 'queued',
        queue: {
          position: numberOf(fields['position']) ?? 0,
          waitMs: numberOf(fields['estimated_wait_ms']),
        },
      };
    case 'attempt':
      return addAttempt(before, attemptOf(fields, at));
    case 'chunk':
      return addChunk(before, fields, at);
    case 'reset':
      return {
        ...before,
        pieces: [],
        seams: [],
        tokens: 0,
        length: 0,
        firstAt: undefined,
        lastAt: undefined,
        resets: before.resets + 1,
      };
    case 'done':
      return {
        ...before,
        status: 'completed',
        endedAt: at,
        outputTokens: outputTokensOf(fields['usage']) ?? before.outputTokens,
        finishReason: textOf(fields['finish_reason']) || before.finishReason,
      };
    case 'failed': {
      const error = objectOf(fields['error']);
      return failWith(before, textOf(error['code']), textOf(error['message']), at);
    }
    case 'cancelled':
      return { ...before, status: 'cancelled', endedAt: at };
    default:
      return before;
  }
}

export const failWith = (
  before: Transcript,
  code: string,
  message: string,
  at: number,
): Transcript => ({
  ...before,
  status: 'failed',
  endedAt: at,
  error: { code: code || 'failed', message: message || 'The request failed.' },
});

function addAttempt(before: Transcript, attempt: AttemptSeen): Transcript {
  const last = before.attempts.at(-1);
  const next: Transcript = {
    ...before,
    status: 'running',
    queue: undefined,
    attempts: [...before.attempts, attempt].slice(-maxAttempts),
  };
  // Before the first text a reader sees nothing of another attempt.
  if (!last || before.tokens === 0 || before.lastAt === undefined) return next;
  const cause = attempt.run === last.run ? 'provider' : 'worker';
  const open = before.seams.at(-1);
  if (open && open.gapMs === undefined) {
    // The attempt at this seam came to nothing: the next one is at the same place.
    const changed = { ...open, to: attempt, cause: cause === 'worker' ? cause : open.cause };
    return { ...next, seams: [...before.seams.slice(0, -1), changed] };
  }
  if (before.seams.length >= maxAttempts) return next;
  const seam: Seam = {
    token: before.tokens,
    from: last,
    to: attempt,
    cause,
    from_at: before.lastAt,
    gapMs: undefined,
  };
  return {
    ...next,
    seams: [...before.seams, seam],
    pieces: [...before.pieces, { kind: 'seam', index: before.seams.length }],
  };
}

function addChunk(before: Transcript, chunk: Record<string, unknown>, at: number): Transcript {
  let next: Transcript = {
    ...before,
    outputTokens: outputTokensOf(chunk['usage']) ?? before.outputTokens,
  };
  const choices: unknown[] = Array.isArray(chunk['choices']) ? chunk['choices'] : [];
  const choice = objectOf(choices.find((one) => (objectOf(one)['index'] ?? 0) === 0));
  const reason = textOf(choice['finish_reason']);
  if (reason !== '') next = { ...next, finishReason: reason };
  // A whole answer, as a request that does not stream gets it, has `message`.
  const visible = visibleOf(objectOf(choice['delta'] ?? choice['message']));
  if (visible.length === 0) return next;
  const seam = next.seams.at(-1);
  const seams =
    seam && seam.gapMs === undefined
      ? [...next.seams.slice(0, -1), { ...seam, gapMs: Math.max(0, at - seam.from_at) }]
      : next.seams;
  let { pieces, length } = next;
  for (const piece of visible) {
    const text = piece.text.slice(0, Math.max(0, maxTextLength - length));
    length += text.length;
    const last = pieces.at(-1);
    pieces =
      last && last.kind === piece.kind
        ? [...pieces.slice(0, -1), { kind: piece.kind, text: last.text + text }]
        : [...pieces, { kind: piece.kind, text }];
  }
  return {
    ...next,
    status: 'running',
    seams,
    pieces,
    length,
    tokens: next.tokens + 1,
    firstAt: next.firstAt ?? at,
    lastAt: at,
  };
}

type Text = { kind: 'answer' | 'reasoning' | 'tool'; text: string };

function visibleOf(delta: Record<string, unknown>): Text[] {
  const texts: Text[] = [
    { kind: 'reasoning', text: textOf(delta['reasoning_content'] ?? delta['reasoning']) },
    { kind: 'answer', text: textOf(delta['content']) + textOf(delta['refusal']) },
    { kind: 'tool', text: toolText(delta['tool_calls']) },
  ];
  return texts.filter(({ text }) => text !== '');
}

/** A call's name once, then its arguments as they come. */
const toolText = (calls: unknown): string =>
  (Array.isArray(calls) ? calls : [])
    .map((call) => {
      const called = objectOf(objectOf(call)['function']);
      const name = textOf(called['name']);
      return `${name === '' ? '' : `\n${name} `}${textOf(called['arguments'])}`;
    })
    .join('');

const attemptOf = (fields: Record<string, unknown>, at: number): AttemptSeen => ({
  run: numberOf(fields['run']) ?? 1,
  attempt: numberOf(fields['attempt']) ?? 1,
  provider: textOf(fields['provider']),
  model: textOf(fields['model']),
  mode: textOf(fields['mode']),
  at,
});

const outputTokensOf = (usage: unknown): number | undefined =>
  numberOf(objectOf(usage)['completion_tokens']);

const objectOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
const numberOf = (value: unknown): number | undefined =>
  typeof value === 'number' ? value : undefined;
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/** Of the whole answer, pauses included; undefined until two chunks came. */
export function tokensPerSecond({ tokens, firstAt, lastAt }: Transcript): number | undefined {
  if (firstAt === undefined || lastAt === undefined || lastAt <= firstAt) return undefined;
  return ((tokens - 1) / (lastAt - firstAt)) * 1000;
}
