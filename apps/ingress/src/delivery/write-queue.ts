/** The texts that wait for one connection, in order; taken in chunks of a bounded size. */
export type WriteQueue = {
  push(text: string | Buffer): void;
  /** The next chunk, of at most `maxBytes`; `last`: it ends a text that was pushed. */
  take(maxBytes: number): { bytes: Buffer; last: boolean } | undefined;
  clear(): void;
  /** Bytes that wait. */
  readonly bytes: number;
};

/** The list is compacted when this many of its texts, and at least half of them, were taken. */
const tidyFrom = 1024;

const nothing = Buffer.alloc(0);

/** Copies no text twice, so that a slow connection creates no garbage in addition to its waiting texts. */
export function createWriteQueue(): WriteQueue {
  let texts: Buffer[] = [];
  /** The index of the first text that waits. */
  let first = 0;
  /** Bytes of the first text that were taken. */
  let taken = 0;
  let waiting = 0;

  /** `shift` would move the whole list for each text. */
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
      const bytes = typeof text === 'string' ? Buffer.from(text) : text;
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
