import type { ProviderError } from '../errors.ts';
import { wholeSecond } from '../retry-headers.ts';
import type {
  AnswerEvent,
  Call,
  Encoder,
  ErrorShape,
  Frame,
  Identity,
  Usage,
  WireFormat,
} from '../steps.ts';
import { VENDOR_DELTA, VENDOR_FIELD } from '../vendor.ts';
import { anthropicError, errorBody } from './errors.ts';
import type { ContentEvent } from './json.ts';
import {
  blockOf,
  messageJson,
  SIGNATURE,
  stopFields,
  stopReason,
  toolUseId,
  usageFields,
} from './json.ts';
import { readAsked } from './request.ts';
import { wholeMessage } from './whole.ts';

const PING: Frame = { event: 'ping', data: '{"type": "ping"}' };

/** Encodes one answer's events in order, and tracks the open content block. */
class MessagesEncoder implements Encoder {
  readonly #call: Call;
  readonly #identity: Identity;
  readonly #vendor: boolean;
  #block: string | undefined;
  #index = -1;
  #refused = false;

  constructor(call: Call, identity: Identity) {
    this.#call = call;
    this.#identity = identity;
    this.#vendor = call.options.vendor === 1;
  }

  frames(event: AnswerEvent): Frame[] {
    switch (event.type) {
      case 'start': {
        const { extra } = event;
        const begun = { content: '', stop: null, output: 1, extra };
        const message = messageJson(this.#call, this.#identity, begun);
        return [this.#frame('message_start', `"message":${message}`)];
      }
      case 'finish': {
        const stop = stopReason(event.reason, this.#refused);
        return [...this.#closeBlock(), this.#end(stop, event.usage)];
      }
      case 'usage':
        return [];
      case 'done':
        return [this.#frame('message_stop')];
      default:
        this.#refused ||= event.type === 'refusal';
        return [...this.#openBlock(event), this.#delta(deltaFields(event))];
    }
  }

  /** One shape only: each event of this format has a name, and errors are events. */
  error(_shape: ErrorShape, error: ProviderError): Frame[] {
    return [{ event: 'error', data: errorBody(error, this.#call.requestId) }];
  }

  whole(events: readonly AnswerEvent[]): string {
    return wholeMessage(events, this.#call, this.#identity);
  }

  #openBlock(event: ContentEvent): Frame[] {
    const block = blockOf(event);
    if (block === this.#block) return [];
    const closed = this.#closeBlock();
    this.#block = block;
    this.#index += 1;
    const content = `"index":${this.#index},"content_block":${emptyBlock(event, this.#identity)}`;
    const opened = this.#frame('content_block_start', content);
    return [...closed, opened, ...(this.#index === 0 ? [PING] : [])];
  }

  #closeBlock(): Frame[] {
    if (this.#block === undefined) return [];
    const signed =
      this.#block === 'thinking'
        ? [this.#delta(`"type":"signature_delta","signature":"${SIGNATURE}"`)]
        : [];
    this.#block = undefined;
    return [...signed, this.#frame('content_block_stop', `"index":${this.#index}`)];
  }

  #delta(fields: string): Frame {
    const delta = `{${fields}${this.#vendor ? VENDOR_DELTA : ''}}`;
    return this.#frame('content_block_delta', `"index":${this.#index},"delta":${delta}`);
  }

  #end(stop: string, usage: Usage | undefined): Frame {
    const counted = usageFields(this.#call.asked.promptTokens, usage?.completion ?? 0);
    return this.#frame('message_delta', `"delta":{${stopFields(stop)}},"usage":{${counted}}`);
  }

  #frame(event: string, fields = ''): Frame {
    const rest = (fields === '' ? '' : `,${fields}`) + (this.#vendor ? VENDOR_FIELD : '');
    return { event, data: `{"type":"${event}"${rest}}` };
  }
}

function emptyBlock(event: ContentEvent, identity: Identity): string {
  switch (event.type) {
    case 'text':
    case 'refusal':
      return '{"type":"text","text":""}';
    case 'reasoning':
      return '{"type":"thinking","thinking":"","signature":""}';
    default: {
      const name = JSON.stringify(event.type === 'tool-call' ? event.name : '');
      return `{"type":"tool_use","id":${toolUseId(event.call, identity)},"name":${name},"input":{}}`;
    }
  }
}

function deltaFields(event: ContentEvent): string {
  switch (event.type) {
    case 'text':
    case 'refusal':
      return `"type":"text_delta","text":${JSON.stringify(event.text)}`;
    case 'reasoning':
      return `"type":"thinking_delta","thinking":${JSON.stringify(event.text)}`;
    case 'tool-call':
      return '"type":"input_json_delta","partial_json":""';
    default:
      return `"type":"input_json_delta","partial_json":${JSON.stringify(event.text)}`;
  }
}

/** No request is left until the reset; tokens are not exhausted. */
function rateLimitHeaders(seconds: number, now: number): Record<string, string> {
  const at = (ms: number): string => wholeSecond(ms).toISOString().replace('.000Z', 'Z');
  return {
    'anthropic-ratelimit-requests-limit': '50',
    'anthropic-ratelimit-requests-remaining': '0',
    'anthropic-ratelimit-requests-reset': at(now + seconds * 1000),
    'anthropic-ratelimit-tokens-limit': '80000',
    'anthropic-ratelimit-tokens-remaining': '80000',
    'anthropic-ratelimit-tokens-reset': at(now),
  };
}

/** Anthropic's Messages. */
export const anthropicMessages: WireFormat = {
  name: 'anthropic',
  serves: (path) => path === '/v1/messages',
  requestIdHeader: 'request-id',
  maxChoices: 1,
  streamError: 'overloaded',
  keepAlive: PING,
  unreadable: {
    event: 'content_block_delta',
    data: '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":',
  },
  malformed: {
    event: 'ping',
    data: '{"type":"ping","padding":" bro',
  },
  hasSent: (headers) => (headers['anthropic-version'] ?? headers['x-api-key']) !== undefined,
  // The official packages sent the first until 2026-10-21, and send the second since.
  keyHeader: ({ 'x-api-key': key, authorization }) =>
    typeof key === 'string' ? key : authorization?.replace(/^Bearer /iu, ''),
  read: readAsked,
  newId: (number) => `msg_sim_${String(number).padStart(9, '0')}`,
  encoder: (call, identity) => new MessagesEncoder(call, identity),
  error: anthropicError,
  errorBody,
  rateLimitHeaders,
};
