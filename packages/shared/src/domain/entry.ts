/**
 * The lines of a request's log. A line is text: a letter that names its kind, then its data, which for a
 * chunk is the provider's own JSON text. An entry of the Redis stream packs the lines of one tick; its id is
 * the id of its last line, and the ids of the lines before it count down from that.
 */

/** The position of a line: the run that wrote it, and its number within the run, from 1. */
export type EntryId = { readonly run: number; readonly seq: number };

export const logStart: EntryId = { run: 0, seq: 0 };

const entryIdPattern = /^(0|[1-9]\d{0,9})-(0|[1-9]\d{0,14})$/;

export const formatEntryId = (id: EntryId): string => `${id.run}-${id.seq}`;

/** Undefined when the text is not an entry id. */
export function parseEntryId(text: string): EntryId | undefined {
  const match = entryIdPattern.exec(text);
  if (!match) return undefined;
  return { run: Number(match[1]), seq: Number(match[2]) };
}

/** Negative, zero or positive, as for `sort`. */
export const compareEntryIds = (a: EntryId, b: EntryId): number => a.run - b.run || a.seq - b.seq;

export const sameEntryId = (a: EntryId, b: EntryId): boolean => a.run === b.run && a.seq === b.seq;

/** One line of a log with its position. `at`: when its run sent it (ms since the epoch), if that was asked for and is known. */
export type Line = {
  readonly run: number;
  readonly seq: number;
  readonly text: string;
  readonly at?: number | undefined;
};

export type OpenAiError = {
  message: string;
  type: string;
  param: string | null;
  code: string | null;
  /** The `x-request-id` of the answer: the request that it is about, or an id that belongs to no request. */
  request_id?: string;
};

/** Why this attempt was made, and how its text relates to the text delivered before it. */
export type AttemptMode = 'start' | 'continue' | 'replay' | 'anchor' | 'restart';

export type AttemptStarted = {
  run: number;
  attempt: number;
  provider: string;
  model: string;
  mode: AttemptMode;
  /** Milliseconds since the epoch. */
  at: number;
};

export type AttemptEnded = {
  /** The run that wrote this line, which is not always the attempt's own. */
  run: number;
  attempt: number;
  /** Milliseconds since the epoch. */
  at: number;
  firstTokenAt?: number;
  /**
   * `completed`, `superseded` (another attempt won), `handed_over` (its worker shut down, and another one
   * continues), `worker_lost` (its worker died or lost the request; its successor wrote this), or the code of
   * the fault (`moved`: an operator ended it).
   */
  outcome: string;
  /** The provider's error message, or what happened to the connection. For the operator only. */
  detail?: string;
  usage?: unknown;
  /** Which part of the usage was estimated from the text because the target did not report it. */
  estimated?: 'all' | 'completion';
};

/**
 * The point where one attempt's text ends and another's begins, or was to begin. An attempt that begins the
 * answer has a seam (`start` or `restart`, at 0) only if it is not the newest open one, to which readers of
 * the log attribute text without a seam.
 */
export type SeamRecord = {
  attempt: number;
  rung: AttemptMode;
  /** Characters delivered before it. */
  offset: number;
  /** `passed`, or why the attempt's text did not continue the answer. */
  outcome: 'passed' | 'diverged' | 'too_short' | 'anchor_missing' | 'empty';
};

export type Done = {
  finishReason: string | null;
  usage?: unknown;
  attempts: number;
};

export type Failed = {
  error: OpenAiError;
  /** The HTTP status for a reader that has received no response head yet. */
  httpStatus: number;
  retryAfterMs?: number;
};

export type Cancelled = { reason: string };

/**
 * The complete answer of a call that was not streamed, in the inner form: the provider's own bytes, as text, where that
 * is the provider's format. `native`: the provider's bytes where the client and the provider use the same other format.
 */
export type Result = { contentType: string; body: string; native?: string };

export type Entry =
  | { kind: 'attempt'; data: AttemptStarted }
  | { kind: 'attempt_end'; data: AttemptEnded }
  | { kind: 'seam'; data: SeamRecord }
  | { kind: 'chunk'; text: string }
  /** The chunk with only the usage, for readers that asked for it. */
  | { kind: 'usage'; text: string }
  | { kind: 'result'; data: Result }
  /** The delivered answer is void; what follows begins anew. Written for native readers only. */
  | { kind: 'reset'; data: { reason: 'restart' } }
  | Terminal;

/** `at`: when the request ended, in milliseconds since the epoch. */
export type Terminal =
  | { kind: 'done'; data: Done & { at: number } }
  | { kind: 'failed'; data: Failed & { at: number } }
  | { kind: 'cancelled'; data: Cancelled & { at: number } };

export type TerminalKind = Terminal['kind'];

const letters = {
  attempt: 'a',
  attempt_end: 'e',
  seam: 's',
  chunk: 'c',
  usage: 'u',
  result: 'r',
  reset: 'z',
  done: 'd',
  failed: 'f',
  cancelled: 'x',
} as const satisfies Record<Entry['kind'], string>;

const kinds = new Map<string, Entry['kind']>(
  Object.entries(letters).map(([kind, letter]) => [letter, kind as Entry['kind']]),
);

/** Encodes an entry as its line. The text of a chunk must have no line break (`singleLine`). */
export function encodeEntry(entry: Entry): string {
  return entry.kind === 'chunk' || entry.kind === 'usage'
    ? letters[entry.kind] + entry.text
    : letters[entry.kind] + JSON.stringify(entry.data);
}

/** As `encodeEntry`, for the hot path. */
export const chunkLine = (text: string): string => letters.chunk + text;
export const usageLine = (text: string): string => letters.usage + text;

/** Throws on a line that this program did not write. */
export function decodeEntry(line: string): Entry {
  const kind = kindOf(line);
  if (kind === 'chunk' || kind === 'usage') return { kind, text: line.slice(1) };
  // encodeEntry wrote it, with the data that belongs to the kind.
  const entry: Entry = { kind, data: JSON.parse(line.slice(1)) };
  return entry;
}

export function kindOf(line: string): Entry['kind'] {
  const kind = kinds.get(line[0] ?? '');
  if (kind === undefined) throw new Error(`not a log entry: ${line.slice(0, 40)}`);
  return kind;
}

export const isTerminal = (entry: Entry): entry is Terminal =>
  entry.kind === 'done' || entry.kind === 'failed' || entry.kind === 'cancelled';

/** Decides by the first letter, for the hot path. */
export const isTerminalLine = (line: string): boolean =>
  line[0] === letters.done || line[0] === letters.failed || line[0] === letters.cancelled;

export const isChunkLine = (line: string): boolean => line[0] === letters.chunk;

/** The lines of one stream entry with their positions, without those up to and including `after`. */
export function unpack(last: EntryId, texts: readonly string[], after: EntryId): Line[] {
  const first = last.seq - texts.length + 1;
  const skip = after.run === last.run ? Math.max(0, after.seq - first + 1) : 0;
  const lines: Line[] = [];
  for (let i = skip; i < texts.length; i++) {
    lines.push({ run: last.run, seq: first + i, text: texts[i] ?? '' });
  }
  return lines;
}
