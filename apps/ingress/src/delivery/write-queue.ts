/** What waits for one connection, in order; given out in pieces of a bounded size. */
export type Pieces = {
  push(text: string): void;
  /** The next piece, at most so many bytes; `last`: the end of a text that was pushed. */
  take(maxBytes: number): { bytes: Buffer; last: boolean } | undefined;
  clear(): void;
  /** Bytes that wait. */
  readonly bytes: number;
};

/** Texts that were given out stay in the list as nothing until there are so many, and half of it. */
const tidyFrom = 1024;

const nothing = Buffer.alloc(0);

/** No text is copied twice: a slow connection costs what waits for it, and no garbage beside it. */
export function createPieces(): Pieces {
  let texts: Buffer[] = [];
  /** Texts that were given out. */
  let first = 0;
  /** Of the first text that waits, taken already. */
  let taken = 0;
  let waiting = 0;

  /** Not `shift`, which moves all that wait for each one that leaves. */
  function drop(): void {
    texts[first] = nothing;
    first += 1;
    taken = 0;
    if (first < texts.length && (first < tidyFrom || first * 2 < texts.length)) return;
    texts = texts.slice(first);
    first = 0;
  }

  return {
    push(text) {
      const bytes = Buffer.from(text);
      if (bytes.length === 0) return;
      texts.push(bytes);
      waiting += bytes.length;
    },
    take(maxBytes) {
      const text = texts[first];
      if (!text) return undefined;
      const bytes = text.subarray(taken, taken + maxBytes);
      taken += bytes.length;
      waiting -= bytes.length;
      const last = taken === text.length;
      if (last) drop();
      return { bytes, last };
    },
    clear() {
      texts = [];
      first = 0;
      taken = 0;
      waiting = 0;
    },
    get bytes() {
      return waiting;
    },
  };
}
