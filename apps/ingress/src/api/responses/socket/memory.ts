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
 * continue. Their bytes count as request bodies; while there is no memory for those, nothing is remembered.
 */
export type ResponseMemory = {
  find(id: string): Remembered | undefined;
  /** Replaces what the lane had. */
  keep(lane: string, id: string, response: Remembered): void;
  /** A turn that continued it has failed, so the client has to send the whole conversation. */
  forget(id: string): void;
  clear(): void;
};

export function createResponseMemory(
  bodies: BodyBudget,
  limits: { requestBodiesBytes: number },
): ResponseMemory {
  const lanes = new Map<string, Remembered & { id: string }>();

  function drop(lane: string): void {
    const held = lanes.get(lane);
    if (!held) return;
    bodies.held -= held.input.length;
    lanes.delete(lane);
  }

  return {
    find(id) {
      for (const held of lanes.values()) if (held.id === id) return held;
      return undefined;
    },
    keep(lane, id, response) {
      drop(lane);
      const bytes = response.input.length;
      if (bodies.held + bytes > limits.requestBodiesBytes) return;
      bodies.held += bytes;
      lanes.set(lane, { ...response, id });
    },
    forget(id) {
      for (const [lane, held] of lanes) if (held.id === id) drop(lane);
    },
    clear() {
      for (const lane of lanes.keys()) drop(lane);
    },
  };
}
