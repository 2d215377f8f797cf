/*
 * Bounds on the shape of a JSON text, checked before JSON.parse. The cost of parsing depends on the number of
 * values far more than on the bytes: 12 MB take 10 ms if they are one string, 1,200 ms if they are empty
 * arrays, 2,600 ms if they are nested. The count below costs the same for every byte (about 2 ns), needs no
 * recursion, and can be made while the bytes arrive.
 */

/** The bounds of a JSON text. */
export type JsonBounds = {
  /** Levels of objects and arrays. */
  depth: number;
  /**
   * Values and member names: counted by the `,`, `:`, `[` and `{` before them outside of strings, so that an
   * empty array in a list counts twice, which matches its cost.
   */
  values: number;
};

/** The bound that a text exceeds. */
export type JsonExcess = keyof JsonBounds;

/**
 * Levels of objects and arrays. JSON.parse accepts any number, but code that walks through a value or
 * serializes it recurses, and has stack for some thousands.
 */
export const maxJsonDepth = 1000;

/**
 * Values in one event or one complete answer of a provider: enough for 4,500 tokens with 20 top log
 * probabilities each, and at most some tenths of a second to parse. The depth is bounded where the text is
 * parsed (json.ts).
 */
export const answerBounds: JsonBounds = { depth: Infinity, values: 1_000_000 };

/**
 * Measures a JSON text that comes in pieces, in UTF-8. The result for invalid JSON is undefined, but takes
 * linear time.
 */
export type JsonMeter = {
  /** Takes the next piece. Returns the excess from the first piece on that has one. */
  push(bytes: Uint8Array): JsonExcess | undefined;
};

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** The meaning of a byte outside of strings. */
const VALUE = 1;
const OPEN = 2;
const CLOSE = 3;
const STRING = 4;
const roles = new Uint8Array(256);
for (const byte of Buffer.from(',:')) roles[byte] = VALUE;
for (const byte of Buffer.from('[{')) roles[byte] = OPEN;
for (const byte of Buffer.from(']}')) roles[byte] = CLOSE;
roles[QUOTE] = STRING;

export function createJsonMeter(bounds: JsonBounds): JsonMeter {
  let inString = false;
  let isEscaped = false;
  let depth = 0;
  let values = 0;
  let excess: JsonExcess | undefined;

  /** Returns where the string ends, or the length of the piece. */
  function passString(bytes: Uint8Array, from: number): number {
    let at = from;
    // This character was escaped by the end of the previous piece.
    if (isEscaped) at += 1;
    isEscaped = false;
    for (; at < bytes.length; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) {
        inString = false;
        return at + 1;
      }
      if (byte === BACKSLASH) at += 1;
    }
    isEscaped = at > bytes.length;
    return bytes.length;
  }

  /** Scans up to the next string or the excess. Returns where it begins. */
  function passPlain(bytes: Uint8Array, from: number): number {
    let at = from;
    let level = depth;
    let count = values;
    for (; at < bytes.length; at++) {
      const role = roles[bytes[at] as number];
      if (role === 0) continue;
      if (role === STRING) {
        inString = true;
        at += 1;
        break;
      }
      if (role === CLOSE) {
        level -= 1;
        continue;
      }
      count += 1;
      if (role === OPEN) level += 1;
      if (level > bounds.depth) excess = 'depth';
      else if (count > bounds.values) excess = 'values';
      if (excess) break;
    }
    depth = level;
    values = count;
    return at;
  }

  return {
    push(bytes) {
      for (let at = 0; at < bytes.length && excess === undefined;) {
        at = inString ? passString(bytes, at) : passPlain(bytes, at);
      }
      return excess;
    },
  };
}

/** The excess of a complete text. A text too short for one is not scanned. */
export function jsonExcess(text: string | Uint8Array, bounds: JsonBounds): JsonExcess | undefined {
  if (text.length <= Math.min(bounds.depth, bounds.values)) return undefined;
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  return createJsonMeter(bounds).push(bytes);
}
