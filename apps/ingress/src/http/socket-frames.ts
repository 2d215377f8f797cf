import type { OpenAiError } from '@millrace/shared/domain/entry';
import { isJsonObject } from '@millrace/shared/domain/json';
import { wrongType } from './body.ts';
import { invalidRequest } from './errors.ts';

/** Characters of a client's own name for a request, which is said back to it. */
export const longestRef = 200;

/** A frame that a client sent: a JSON object. */
export type Frame = Record<string, unknown>;

/** Throws an ApiError on anything else. */
export function parseFrame(text: string): Frame {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    throw invalidRequest('The frame is not valid JSON.', { code: 'invalid_json' });
  }
  if (!isJsonObject(frame)) throw invalidRequest('A frame must be a JSON object.');
  return frame;
}

/** The request that a frame is about. Throws an ApiError when it names none. */
export function readId(frame: Frame): string {
  const { id } = frame;
  if (typeof id !== 'string' || id === '') throw wrongType('id', 'the id of a request', id ?? null);
  return id;
}

export const unknownType = (type: unknown) =>
  invalidRequest(
    `Unknown frame type ${JSON.stringify(type ?? null).slice(0, 100)}: expected auth, create, subscribe, unsubscribe, cancel or ping.`,
    { param: 'type', code: 'unknown_frame_type' },
  );

/** Says which frame it answers, as far as that could be read. */
export function errorFrame(frame: Frame | undefined, error: OpenAiError): string {
  const { ref, id } = frame ?? {};
  return JSON.stringify({
    type: 'error',
    ref: typeof ref === 'string' && ref.length <= longestRef ? ref : undefined,
    id: typeof id === 'string' && id.length <= longestRef ? id : undefined,
    error,
  });
}

/** Keeps frames until they are let go: then, and from then on, they are sent. */
export function holdBack(send: (text: string) => boolean) {
  let held: string[] | undefined = [];
  return {
    send(text: string): boolean {
      if (!held) return send(text);
      held.push(text);
      // No more for now: the rest comes from the log once the reader is resumed.
      return false;
    },
    release(): void {
      const texts = held ?? [];
      held = undefined;
      for (const text of texts) send(text);
    },
  };
}
