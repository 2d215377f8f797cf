import type { BodyBudget } from '../../../server/limits.ts';

/** A response that this connection can continue although it is not stored. */
export type Remembered = {
  /** Its input, as the JSON text of an array or of a text. */
  input: string;
  /** It has no output: it was made with `generate: false`, and no log has it. */
  isWarmUp: boolean;
};

/**
 * The newest response of each lane, as long as the connection lasts: `store: false` leaves nothing else that a next turn could
 * continue. All of a connection take at most the bytes of one body, the oldest give way. They count as request bodies, but take no
 * more than half of the memory for those, so that connections that do nothing never keep others from sending requests.
 */
export type ResponseMemory = {
  find(id: string): Remembered | undefined;
  has(lane: string): boolean;
  /** Replaces what the lane had. */
  keep(lane: string, id: string, response: Remembered): void;
  /** A turn that continued it has failed, so the client has to send the whole conversation. */
  forget(id: string): void;
  clear(): void;
};

/** `input` as bytes: a text that is a part of a frame would keep the whole frame. */
type Kept = { id: string; input: Buffer; isWarmUp: boolean };

export function createResponseMemory(
  bodies: BodyBudget,
  limits: { requestBodiesBytes: number; requestBodyBytes: number },
): ResponseMemory {
  /** The oldest first. */
  const lanes = new Map<string, Kept>();
  let held = 0;

  function drop(lane: string): void {
    const bytes = lanes.get(lane)?.input.length ?? 0;
    bodies.held -= bytes;
    held -= bytes;
    lanes.delete(lane);
  }

  return {
    find(id) {
      for (const kept of lanes.values()) {
        if (kept.id === id) return { input: kept.input.toString(), isWarmUp: kept.isWarmUp };
      }
      return undefined;
    },
    has: (lane) => lanes.has(lane),
    keep(lane, id, { input: text, isWarmUp }) {
      drop(lane);
      const input = Buffer.from(text);
      const bytes = input.length;
      if (bytes > limits.requestBodyBytes) return;
      for (const oldest of lanes.keys()) {
        if (held + bytes <= limits.requestBodyBytes) break;
        drop(oldest);
      }
      if (bodies.held + bytes > limits.requestBodiesBytes / 2) return;
      bodies.held += bytes;
      held += bytes;
      lanes.set(lane, { id, input, isWarmUp });
    },
    forget(id) {
      for (const [lane, kept] of lanes) if (kept.id === id) drop(lane);
    },
    clear() {
      for (const lane of lanes.keys()) drop(lane);
    },
  };
}
