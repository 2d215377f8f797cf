import type { ProviderError } from '../errors.ts';
import { openAiError } from '../errors.ts';
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
import { chatHead, chatUsage, logprobOf, toolCallId } from './json.ts';
import { readAsked } from './request.ts';
import { wholeAnswer } from './whole.ts';
import { rateLimitHeaders } from './rate-limit.ts';
import { VENDOR_CHOICE, VENDOR_DELTA } from '../vendor.ts';

/** Chunks are assembled as text: no JSON.stringify for the envelope, and unusual JSON is possible. */
class ChatEncoder implements Encoder {
  readonly #call: Call;
  readonly #identity: Identity;
  readonly #model: string;
  readonly #vendor: boolean;
  readonly #usageAsked: boolean;

  constructor(call: Call, identity: Identity) {
    this.#call = call;
    this.#identity = identity;
    this.#model = JSON.stringify(call.asked.model);
    this.#vendor = call.options.vendor === 1;
    const { usage } = call.options;
    this.#usageAsked = usage === 'always' || (usage === 'asked' && call.asked.includeUsage);
  }

  frames(event: AnswerEvent): Frame[] {
    switch (event.type) {
      case 'start':
        return this.#delta(event.choice, startFields(event), '', event.extra);
      case 'text':
        return this.#delta(event.choice, `"content":${JSON.stringify(event.text)}`, event.text);
      case 'reasoning':
        return this.#delta(event.choice, `"reasoning_content":${JSON.stringify(event.text)}`);
      case 'refusal':
        return this.#delta(event.choice, `"refusal":${JSON.stringify(event.text)}`);
      case 'tool-call':
      case 'tool-arguments':
        return this.#delta(event.choice, `"tool_calls":[${toolFields(event, this.#identity)}]`);
      case 'finish': {
        const last = this.#call.options.usage === 'finish' ? event.usage : undefined;
        const choice = this.#choice(event.choice, '{}', 'null', `"${event.reason}"`);
        return [this.#chunk(choice, last && this.#usage(last))];
      }
      case 'usage':
        return this.#usageAsked ? [this.#chunk('', this.#usage(event.usage))] : [];
      default:
        return [{ data: '[DONE]' }];
    }
  }

  error(shape: ErrorShape, error: ProviderError): Frame[] {
    const body = errorBody(error);
    if (shape === 'bare') return [{ data: body }];
    if (shape === 'named') return [{ event: 'error', data: body }];
    return [{ data: `{${this.#head()},"choices":[],${body.slice(1)}` }];
  }

  whole(events: readonly AnswerEvent[]): string {
    return wholeAnswer(events, this.#call, this.#identity);
  }

  #delta(choice: number, fields: string, token = '', extra?: object): Frame[] {
    const { asked, options } = this.#call;
    const wanted = token !== '' && (asked.logprobs || options.logprobs === 1);
    const logprobs = wanted ? `{"content":[${logprobOf(token)}],"refusal":null}` : 'null';
    const delta = `{${fields}${this.#vendor ? VENDOR_DELTA : ''}}`;
    return [this.#chunk(this.#choice(choice, delta, logprobs, 'null'), undefined, extra)];
  }

  #choice(index: number, delta: string, logprobs: string, finish: string): string {
    const fields = `"index":${index},"delta":${delta},"logprobs":${logprobs},"finish_reason":${finish}`;
    return this.#vendor ? `{ ${fields}${VENDOR_CHOICE}}` : `{${fields}}`;
  }

  #chunk(choice: string, usage?: string, extra?: object): Frame {
    const shown = usage ?? (this.#usageAsked ? 'null' : undefined);
    const tail =
      (shown === undefined ? '' : `,"usage":${shown}`) +
      (extra === undefined ? '' : `,"x_echo_headers":${JSON.stringify(extra)}`);
    return { data: `{${this.#head()},"choices":[${choice}]${tail}}` };
  }

  #head(): string {
    return chatHead('chat.completion.chunk', this.#model, this.#identity, this.#vendor);
  }

  #usage(usage: Usage): string {
    return chatUsage(usage, this.#call.asked.promptTokens);
  }
}

function startFields(event: AnswerEvent & { type: 'start' }): string {
  if (event.say === 'tools') return '"role":"assistant","content":null,"refusal":null';
  if (event.say === 'refusal') return '"role":"assistant","content":null,"refusal":""';
  return '"role":"assistant","content":"","refusal":null';
}

function toolFields(
  event: AnswerEvent & { type: 'tool-call' | 'tool-arguments' },
  identity: Identity,
): string {
  if (event.type === 'tool-arguments') {
    return `{"index":${event.call},"function":{"arguments":${JSON.stringify(event.text)}}}`;
  }
  const name = JSON.stringify(event.name);
  return `{"index":${event.call},"id":${toolCallId(event.call, identity)},"type":"function","function":{"name":${name},"arguments":""}}`;
}

export function errorBody({ message, type, param, code }: ProviderError): string {
  return JSON.stringify({ error: { message, type, param, code } });
}

/** OpenAI's Chat Completions. */
export const openAiChat: WireFormat = {
  name: 'openai',
  serves: (path) => path === '/v1/chat/completions',
  requestIdHeader: 'x-request-id',
  maxChoices: 16,
  streamError: 'server_error',
  keepAlive: undefined,
  unreadable: {
    data: '{"id":"chatcmpl-sim","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":',
  },
  malformed: {
    data: '{"id":"chatcmpl-sim","object":"chat.completion.chunk","choices":[],"obfuscation":" bro',
  },
  keyHeader: (headers) => headers.authorization?.replace(/^Bearer /iu, ''),
  read: readAsked,
  newId: (number) => `chatcmpl-sim-${String(number).padStart(9, '0')}`,
  encoder: (call, identity) => new ChatEncoder(call, identity),
  error: openAiError,
  errorBody,
  rateLimitHeaders,
};
