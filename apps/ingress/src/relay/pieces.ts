/** What waits for one connection, in order; given out in pieces of a bounded size. */
export type Pieces = {
  push(text: string): void;
  /** The next piece, at most so many bytes; `last`: the end of a text that was pushed. */
  take(maxBytes: number): { bytes: Buffer; last: boolean } | undefined;
  clear(): void;
  /** Bytes that wait. */
  readonly bytes: number;
};

/** No text is copied twice: a slow connection costs what waits for it, and no garbage beside it. */
export function createPieces(): Pieces {
  let texts: Buffer[] = [];
  /** Of the first text, taken already. */
  let taken = 0;
  let waiting = 0;
  return {
    push(text) {
      const bytes = Buffer.from(text);
      if (bytes.length === 0) return;
      texts.push(bytes);
      waiting += bytes.length;
    },
    take(maxBytes) {
      const [text] = texts;
      if (!text) return undefined;
      const bytes = text.subarray(taken, taken + maxBytes);
      taken += bytes.length;
      waiting -= bytes.length;
      const last = taken === text.length;
      if (last) {
        texts.shift();
        taken = 0;
      }
      return { bytes, last };
    },
    clear() {
      texts = [];
      taken = 0;
      waiting = 0;
    },
    get bytes() {
      return waiting;
    },
  };
}
