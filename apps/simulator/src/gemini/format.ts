import type { ProviderError } from '../errors.ts';
import type {
  AnswerEvent,
  Call,
  Encoder,
  ErrorShape,
  Frame,
  Identity,
  WireFormat,
} from '../steps.ts';
import { errorBody, geminiError } from './errors.ts';
import { callPart, candidateJson, finishReason, responseJson, textPart } from './json.ts';
import type { FunctionCall } from './json.ts';
import { pathParts, readAsked } from './request.ts';
import { wholeResponse } from './whole.ts';

/** Encodes one answer's events in order. A call comes in one piece, so its arguments are gathered first. */
class GeminiEncoder implements Encoder {
  readonly #call: Call;
  readonly #identity: Identity;
  readonly #vendor: boolean;
  readonly #open = new Map<number, FunctionCall>();

  constructor(call: Call, identity: Identity) {
    this.#call = call;
    this.#identity = identity;
    this.#vendor = call.options.vendor === 1;
  }

  frames(event: AnswerEvent): Frame[] {
    switch (event.type) {
      case 'start':
        return [this.#frame(event.choice, [textPart('')], { extra: event.extra })];
      case 'text':
      case 'refusal':
      case 'reasoning': {
        const thought = event.type === 'reasoning';
        const part = textPart(event.text, { thought, vendor: this.#vendor });
        return [...this.#closeCall(event.choice), this.#frame(event.choice, [part])];
      }
      case 'tool-call': {
        const closed = this.#closeCall(event.choice);
        this.#open.set(event.choice, { call: event.call, name: event.name, args: '' });
        return closed;
      }
      case 'tool-arguments': {
        const open = this.#open.get(event.choice);
        if (open) open.args += event.text;
        return [];
      }
      case 'finish': {
        const { choice, reason, usage } = event;
        const end = { reason: finishReason(reason), usage };
        return [...this.#closeCall(choice), this.#frame(choice, [], end)];
      }
      default:
        return [];
    }
  }

  /** One shape only: an event with the error and nothing else. */
  error(_shape: ErrorShape, error: ProviderError): Frame[] {
    return [{ data: errorBody(error) }];
  }

  whole(events: readonly AnswerEvent[]): string {
    return wholeResponse(events, this.#call, this.#identity);
  }

  #closeCall(choice: number): Frame[] {
    const open = this.#open.get(choice);
    if (!open) return [];
    this.#open.delete(choice);
    return [this.#frame(choice, [callPart(open, this.#identity)])];
  }

  #frame(
    choice: number,
    parts: readonly string[],
    { reason, ...more }: { reason?: string } & Partial<Parameters<typeof responseJson>[2]> = {},
  ): Frame {
    const candidates = [candidateJson(choice, parts, reason)];
    return {
      data: responseJson(this.#call, this.#identity, { usage: undefined, ...more, candidates }),
    };
  }
}

/** Google's Gemini API. */
export const gemini: WireFormat = {
  name: 'gemini',
  serves: (path) => pathParts(path) !== undefined,
  modelIn: (path) => pathParts(path)?.model,
  requestIdHeader: 'x-goog-request-id',
  maxChoices: 8,
  streamError: 'overloaded',
  // Google sends none; proxies in front of it send comments.
  keepAlive: undefined,
  unreadable: { data: '{"candidates":[{"content":{"parts":[{"text":' },
  malformed: { event: 'ping', data: '{"type":"ping","padding":" bro' },
  hasSent: (headers) => headers['x-goog-api-key'] !== undefined,
  keyHeader: ({ 'x-goog-api-key': key }) => (typeof key === 'string' ? key : undefined),
  read: (body, _headers, path) => readAsked(body, path),
  newId: (number) => `sim${String(number).padStart(9, '0')}`,
  encoder: (call, identity) => new GeminiEncoder(call, identity),
  error: geminiError,
  errorBody,
  // Google reports no limits in its headers.
  rateLimitHeaders: () => ({}),
};
