/**
 * Parses the frame heads in the bytes of a WebSocket and keeps none of the bytes: ws emits a message when it
 * is complete, and does not report before how much of it has arrived. Malformed frames are left to ws.
 */
export type FrameScanner = {
  /** How many frames of any kind began in these bytes: messages, their fragments, pings and pongs. */
  scan(bytes: Uint8Array): number;
  /** Bytes of the incomplete message that have arrived. */
  readonly held: number;
  /** The size of the incomplete message, by the heads of its frames so far. */
  readonly announced: number;
  /** A frame or a message has begun and is not complete. */
  readonly isUnfinished: boolean;
  /**
   * Complete messages, and pings and pongs between them; a ping among the fragments of a message does not
   * count.
   */
  readonly completed: number;
};

/** The fixed part of a head: opcode and length. */
const shortHead = 2;

export function createFrameScanner(): FrameScanner {
  const head = new Uint8Array(14);
  let headLength = 0;
  let headNeeds = shortHead;
  /** Bytes of the current frame's payload that have not arrived yet. */
  let left = 0;
  let isData = false;
  let isFinal = false;
  let isFragmented = false;
  let held = 0;
  let announced = 0;
  let completed = 0;

  /** Bytes of the extended length field. */
  const lengthBytes = (short: number) => (short === 127 ? 8 : short === 126 ? 2 : 0);

  function measureHead(second: number): void {
    headNeeds = shortHead + lengthBytes(second & 0x7f) + (second >= 0x80 ? 4 : 0);
  }

  function readLength(short: number): number {
    const end = shortHead + lengthBytes(short);
    let length = end > shortHead ? 0 : short;
    for (let i = shortHead; i < end; i += 1) length = length * 256 + (head[i] ?? 0);
    return length;
  }

  function begin(first: number, second: number): void {
    left = readLength(second & 0x7f);
    isData = (first & 0x0f) < 8;
    isFinal = first >= 0x80;
    if (isData) announced += left;
    headLength = 0;
    headNeeds = shortHead;
    if (left === 0) end();
  }

  function end(): void {
    // Control frames may come in the middle of a message.
    if (isData) isFragmented = !isFinal;
    if (isFragmented) return;
    completed += 1;
    held = 0;
    announced = 0;
  }

  return {
    scan(bytes) {
      let frames = 0;
      for (let at = 0; at < bytes.length;) {
        if (left > 0) {
          const here = Math.min(left, bytes.length - at);
          at += here;
          left -= here;
          if (isData) held += here;
          if (left === 0) end();
          continue;
        }
        head[headLength++] = bytes[at++] ?? 0;
        if (headLength === shortHead) measureHead(head[1] ?? 0);
        if (headLength < headNeeds) continue;
        frames += 1;
        begin(head[0] ?? 0, head[1] ?? 0);
      }
      return frames;
    },
    get held() {
      return held;
    },
    get announced() {
      return announced;
    },
    get isUnfinished() {
      return left > 0 || headLength > 0 || isFragmented;
    },
    get completed() {
      return completed;
    },
  };
}
