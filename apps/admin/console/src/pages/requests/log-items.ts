/*
 * The log of a stream as `GET /admin/requests/{id}/log` has it, and what its readers saw of it. Pure; a `data` in
 * another form than expected says nothing, because a provider's chunk is passed as it came.
 */

/** `at`: RFC 3339; null if it is not known. */
export type LogItem = { entry: string; at: string | null; type: string; data: unknown };

export type LogPage = { data: LogItem[]; next: string | null; expired?: boolean };

export type FrameKind = 'text' | 'reasoning' | 'tool';

/** A piece of the answer, at the moment at which readers got it. */
export type Frame = {
  /** Milliseconds since the epoch. */
  at: number;
  kind: FrameKind;
  text: string;
  attempt: number;
};

/** Where another attempt continues the answer. `at`: when its first text came. */
export type SeamMark = { frame: number; attempt: number; from: number };

export type Track = {
  frames: readonly Frame[];
  /** The answer begins anew at these frames: readers threw away what was before. */
  resets: readonly number[];
  seams: readonly SeamMark[];
  /** When the stream ended; undefined while it runs. */
  endedAt: number | undefined;
  /** The client asked for several answers; only the first is shown. */
  hasMoreChoices: boolean;
  /** The log says when its pieces were delivered. */
  isTimed: boolean;
  /** The worker of each run. */
  workers: ReadonlyMap<number, string>;
};

/**
 * The answer as it came, piece by piece. Times that are not known are those of the item before; if no piece has one, the
 * track is not timed (`spread` in deliveries.ts).
 */
export function trackOf(items: readonly LogItem[]): Track {
  const frames: Frame[] = [];
  const resets: number[] = [];
  const seams: SeamMark[] = [];
  let endedAt: number | undefined;
  const workers = new Map<number, string>();
  let hasMoreChoices = false;
  let at = 0;
  let isTimed = false;
  let attempt = 1;
  for (const item of items) {
    const time = item.at === null ? Number.NaN : Date.parse(item.at);
    if (!Number.isNaN(time)) at = Math.max(at, time);
    const data = record(item.data);
    if (item.type === 'run') {
      const run = numberOf(data, 'run');
      if (run !== undefined && typeof data['worker'] === 'string') workers.set(run, data['worker']);
    } else if (item.type === 'attempt') {
      // Text without a seam belongs to the newest attempt.
      if (frames.length === 0 || resets.includes(frames.length))
        attempt = numberOf(data, 'attempt') ?? attempt;
    } else if (item.type === 'seam') {
      if (data['outcome'] === 'passed') attempt = numberOf(data, 'attempt') ?? attempt;
    } else if (item.type === 'reset') {
      resets.push(frames.length);
    } else if (item.type === 'chunk' || item.type === 'result') {
      const pieces = piecesOf(item.type === 'chunk' ? item.data : bodyOf(data));
      hasMoreChoices ||= pieces.hasMoreChoices;
      for (const piece of pieces.found) {
        const before = frames.at(-1);
        if (before && before.attempt !== attempt && !resets.includes(frames.length)) {
          seams.push({ frame: frames.length, attempt, from: before.attempt });
        }
        isTimed ||= item.at !== null;
        frames.push({ at, attempt, ...piece });
      }
    } else if (item.type === 'done' || item.type === 'failed' || item.type === 'cancelled') {
      endedAt = at;
    }
  }
  return { frames, resets, seams, endedAt, hasMoreChoices, isTimed, workers };
}

type Piece = { kind: FrameKind; text: string };

/** What readers see of a chunk in OpenAI's form, or of a whole answer. */
function piecesOf(value: unknown): { found: Piece[]; hasMoreChoices: boolean } {
  const choices = record(value)['choices'];
  if (!Array.isArray(choices)) return { found: [], hasMoreChoices: false };
  const found: Piece[] = [];
  let hasMoreChoices = false;
  for (const choice of choices.map(record)) {
    if ((numberOf(choice, 'index') ?? 0) !== 0) {
      hasMoreChoices = true;
      continue;
    }
    const delta = record(choice['delta'] ?? choice['message']);
    const add = (kind: FrameKind, text: unknown) => {
      if (typeof text === 'string' && text !== '') found.push({ kind, text });
    };
    add('reasoning', delta['reasoning_content'] ?? delta['reasoning']);
    add('text', delta['content']);
    add('text', delta['refusal']);
    const calls = delta['tool_calls'];
    for (const call of Array.isArray(calls) ? calls.map(record) : []) {
      const of = record(call['function']);
      if (typeof of['name'] === 'string') add('tool', `${of['name']} `);
      add('tool', of['arguments']);
    }
  }
  return { found, hasMoreChoices };
}

/** The answer of a call that was not streamed. */
function bodyOf(data: Record<string, unknown>): unknown {
  const { body } = data;
  if (typeof body !== 'string') return data;
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return { choices: [{ message: { content: body } }] };
  }
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

const numberOf = (of: Record<string, unknown>, name: string): number | undefined => {
  const value = of[name];
  return typeof value === 'number' ? value : undefined;
};

/** How many frames readers had at a moment. Frames rise in time. */
export function framesAt(frames: readonly Frame[], time: number): number {
  let low = 0;
  let high = frames.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((frames[middle]?.at ?? Infinity) <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A part of the answer that one attempt gave without a break, in one kind. */
export type TextPart = {
  kind: FrameKind;
  attempt: number;
  text: string;
  /** Characters behind each of its frames. */
  ends: readonly number[];
  /** Its first frame. */
  first: number;
  /** It was thrown away by a later reset. */
  isVoid: boolean;
  seam: SeamMark | undefined;
  isReset: boolean;
};

/** The answer in parts, each with a place for each of its frames: a playback shows parts whole but for one. */
export function textPartsOf({ frames, resets, seams }: Track): TextPart[] {
  const seamAt = new Map(seams.map((seam) => [seam.frame, seam]));
  const lastReset = resets.at(-1) ?? 0;
  const parts: (TextPart & { ends: number[] })[] = [];
  let texts: string[] = [];
  let length = 0;
  const close = () => {
    const part = parts.at(-1);
    if (part) part.text = texts.join('');
    texts = [];
    length = 0;
  };
  frames.forEach((frame, index) => {
    const part = parts.at(-1);
    const seam = seamAt.get(index);
    const isReset = resets.includes(index);
    if (!part || seam || isReset || part.kind !== frame.kind || part.attempt !== frame.attempt) {
      close();
      const { kind, attempt } = frame;
      const isVoid = index < lastReset;
      parts.push({ kind, attempt, text: '', ends: [], first: index, isVoid, seam, isReset });
    }
    texts.push(frame.text);
    length += frame.text.length;
    parts.at(-1)?.ends.push(length);
  });
  close();
  return parts;
}
