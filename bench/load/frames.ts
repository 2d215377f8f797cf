/**
 * Checks one answer of an OpenAI-style event stream, frame by frame: role chunk, every token in order and
 * exactly once, finish, `[DONE]`. It does not use the reader of test/kit, because it runs beside the system
 * under test on the same two cores: a usual frame needs one substring search, and only other frames are
 * parsed.
 */

/** The tokens an answer has to consist of, prepared once for any number of checkers. */
export interface Expectation {
  tokens: string[];
  /** `"content":"…"` as in the frame of each token. */
  needles: string[];
}

/** Frames of an answer besides its tokens: role, finish, `[DONE]`. */
export const FRAMING = 3;

export interface Verdict {
  /** Expected frames that did not arrive. */
  lost: number;
  /** The first fault; absent for a complete and correct answer. */
  fault?: string;
}

interface Delta {
  role?: string;
  content?: string | null;
}

interface Chunk {
  error?: { message?: string };
  choices?: { delta?: Delta; finish_reason?: string | null }[];
}

/**
 * Bytes are compared as Latin-1 on both sides: that never fails at a character that is cut in two, and is the
 * cheapest conversion from a buffer to a string.
 */
export function expectTokens(tokens: readonly string[]): Expectation {
  const asBytes = tokens.map((token) => Buffer.from(token).toString('latin1'));
  return {
    tokens: asBytes,
    needles: asBytes.map((token) => `"content":${JSON.stringify(token)}`),
  };
}

export class FrameChecker {
  readonly #expected: Expectation;
  readonly #onToken: (now: number) => void;
  #rest = '';
  #role = false;
  #next = 0;
  #skipped = 0;
  #finished = false;
  #done = false;
  #fault: string | undefined;

  /** `onToken` gets the `now` of the bytes that completed the token's frame. */
  constructor(expected: Expectation, onToken: (now: number) => void) {
    this.#expected = expected;
    this.#onToken = onToken;
  }

  /** `bytes` may be split anywhere, also inside a line. `now` in the caller's unit, passed on unchanged. */
  push(bytes: Buffer, now: number): void {
    const text = this.#rest + bytes.toString('latin1');
    let start = 0;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
      if (end > start) this.#line(text, start, end, now);
      start = end + 1;
    }
    this.#rest = text.slice(start);
  }

  /** Call it once, after the last byte. */
  verdict(): Verdict {
    const lost =
      Number(!this.#role) +
      this.#skipped +
      (this.#expected.tokens.length - this.#next) +
      Number(!this.#finished) +
      Number(!this.#done);
    if (lost > 0)
      this.#blame(
        `ended after ${this.#next - this.#skipped} of ${this.#expected.tokens.length} tokens`,
      );
    if (this.#rest.trim() !== '') this.#blame('ended in mid-line');
    return this.#fault === undefined ? { lost } : { lost, fault: this.#fault };
  }

  #line(text: string, start: number, end: number, now: number): void {
    if (text.startsWith('data:', start)) {
      if (!this.#isNextToken(text, start, end)) {
        this.#frame(text.slice(start + 5, end).trim(), now);
        return;
      }
      this.#next++;
      this.#onToken(now);
      return;
    }
    // An OpenAI client never sees a comment (keep-alive) or an id, but it does see an event name.
    const known = text[start] === ':' || text.startsWith('id:', start);
    if (!known && text.slice(start, end).trim() !== '') {
      this.#blame(
        `unexpected line ${JSON.stringify(text.slice(start, Math.min(end, start + 80)))}`,
      );
    }
  }

  /** The first token is left to the parser, as some systems send the role along with it. */
  #isNextToken(text: string, start: number, end: number): boolean {
    if (this.#next === 0 || this.#finished) return false;
    const needle = this.#expected.needles[this.#next];
    if (needle === undefined) return false;
    const at = text.indexOf(needle, start);
    return at !== -1 && at < end;
  }

  #frame(data: string, now: number): void {
    if (this.#done) return this.#blame('a frame after [DONE]');
    if (data === '[DONE]') {
      this.#done = true;
      return;
    }
    const chunk = parse(data);
    if (chunk === undefined) return this.#blame(`not JSON: ${data.slice(0, 80)}`);
    if (chunk.error) return this.#blame(`error frame: ${chunk.error.message ?? data.slice(0, 80)}`);
    const choice = chunk.choices?.[0];
    // No request here asks for usage, so no client expects a chunk without a choice.
    if (choice === undefined) return this.#blame(`a chunk without a choice: ${data.slice(0, 80)}`);
    this.#choice(choice.delta ?? {}, choice.finish_reason ?? null, now);
  }

  #choice(delta: Delta, finishReason: string | null, now: number): void {
    if (this.#finished) return this.#blame('a chunk after finish');
    // Some systems repeat the role in every chunk; only a second chunk with nothing but the role counts.
    if (delta.role !== undefined) {
      if (this.#role && !delta.content && finishReason === null) this.#blame('a second role chunk');
      this.#role = true;
    }
    if (delta.content) this.#token(delta.content, now);
    if (finishReason !== null) this.#finished = true;
  }

  #token(content: string, now: number): void {
    const due = this.#expected.tokens[this.#next];
    if (content !== due) {
      this.#blame(`token ${this.#next}: ${quote(content)} instead of ${quote(due)}`);
      // If it is a later token, those in between are lost, and the rest can still be right.
      const at = this.#expected.tokens.indexOf(content, this.#next);
      if (at === -1) return;
      this.#skipped += at - this.#next;
      this.#next = at;
    }
    this.#next++;
    this.#onToken(now);
  }

  #blame(fault: string): void {
    this.#fault ??= fault;
  }
}

function quote(text: string | undefined): string {
  return text === undefined ? 'nothing' : JSON.stringify(text.slice(0, 40));
}

function parse(data: string): Chunk | undefined {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The tokens of a complete answer, read with a full parser: every system has to deliver what the upstream
 * itself sends. Throws if the answer cannot serve as a reference.
 */
export function tokensOf(body: string): string[] {
  const data = body
    .split('\n')
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice(5).trim());
  if (data.at(-1) !== '[DONE]')
    throw new Error(`the upstream's answer has no [DONE]: ${body.slice(0, 200)}`);
  const tokens = data
    .slice(0, -1)
    .map((line) => parse(line)?.choices?.[0]?.delta?.content ?? '')
    .filter((token) => token !== '');
  const same = tokens.findIndex((token, i) => token === tokens[i + 1]);
  if (tokens.length === 0) throw new Error("the upstream's answer has no tokens");
  if (same !== -1)
    throw new Error(`tokens ${same} and ${same + 1} are equal: a lost one could not be told`);
  return tokens;
}
