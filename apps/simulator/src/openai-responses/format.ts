import type { ProviderError } from '../errors.ts';
import { openAiError } from '../errors.ts';
import { errorBody } from '../openai-chat/format.ts';
import { rateLimitHeaders } from '../openai-chat/rate-limit.ts';
import type {
  AnswerEvent,
  Call,
  Encoder,
  ErrorShape,
  Frame,
  Identity,
  WireFormat,
} from '../steps.ts';
import { VENDOR_FIELD } from '../vendor.ts';
import type { ContentEvent, Item, ResponseState } from './json.ts';
import { endOf, itemJson, itemOf, newItem, partJson, responseJson, summaryJson } from './json.ts';
import { readAsked } from './request.ts';

const KEEP_ALIVE: Frame = { event: 'keepalive', data: '{"type":"keepalive"}' };

/** Encodes one answer's events in order, and tracks the open output item. */
class ResponsesEncoder implements Encoder {
  readonly #call: Call;
  readonly #identity: Identity;
  readonly #vendor: string;
  #sequence = 0;
  #item: Item | undefined;
  #output: string[] = [];
  #extra: object | undefined;

  constructor(call: Call, identity: Identity) {
    this.#call = call;
    this.#identity = identity;
    this.#vendor = call.options.vendor === 1 ? VENDOR_FIELD : '';
  }

  frames(event: AnswerEvent): Frame[] {
    switch (event.type) {
      case 'start': {
        this.#extra = event.extra;
        const names = ['response.created', 'response.in_progress'];
        return names.map((name) => this.#response(name, { status: 'in_progress' }));
      }
      case 'finish': {
        const end = { ...endOf(event.reason), usage: event.usage };
        return [...this.#closeItem(), this.#response(`response.${end.status}`, end)];
      }
      // Both came with the end of the response.
      case 'usage':
      case 'done':
        return [];
      default:
        return [...this.#openItem(event), ...this.#delta(event)];
    }
  }

  /** In three forms, all of them real: as documented, as sent, and as the end of the response. */
  error(shape: ErrorShape, error: ProviderError): Frame[] {
    const { code, message, param } = error;
    if (shape === 'named') {
      const told = JSON.stringify({ code, message, param }).slice(1, -1);
      return [this.#frame('error', told)];
    }
    if (shape === 'bare') return [this.#frame('error', errorBody(error).slice(1, -1))];
    const told = JSON.stringify({ code: code ?? 'server_error', message });
    return [this.#response('response.failed', { status: 'failed', error: told })];
  }

  whole(events: readonly AnswerEvent[]): string {
    for (const event of events) {
      if (event.type !== 'usage' && event.type !== 'finish') this.frames(event);
    }
    const finish = events.find((event) => event.type === 'finish');
    const end: ResponseState = {
      ...(finish ? endOf(finish.reason) : { status: 'completed' }),
      usage: events.find((event) => event.type === 'usage')?.usage,
    };
    this.#closeItem();
    return this.#responseJson(end);
  }

  #openItem(event: ContentEvent): Frame[] {
    if (this.#item !== undefined && itemOf(this.#item.first) === itemOf(event)) return [];
    const closed = this.#closeItem();
    const item = newItem(event, this.#output.length, this.#identity);
    this.#item = item;
    const json = itemJson(item, this.#identity, false);
    const added = this.#frame('response.output_item.added', `${this.#place()},"item":${json}`);
    if (event.type === 'text' || event.type === 'refusal') {
      const part = `${this.#contentPlace()},"part":${partJson(item)}`;
      return [...closed, added, this.#frame('response.content_part.added', part)];
    }
    if (event.type === 'reasoning') {
      const part = `${this.#contentPlace()},"part":${summaryJson(item)}`;
      return [...closed, added, this.#frame('response.reasoning_summary_part.added', part)];
    }
    return [...closed, added];
  }

  #delta(event: ContentEvent): Frame[] {
    const item = this.#item;
    if (item === undefined || event.type === 'tool-call') return [];
    item.text += event.text;
    const delta = `"delta":${JSON.stringify(event.text)}`;
    switch (event.type) {
      case 'text':
        return [
          this.#frame(
            'response.output_text.delta',
            `${this.#contentPlace()},${delta},"logprobs":[]`,
          ),
        ];
      case 'refusal':
        return [this.#frame('response.refusal.delta', `${this.#contentPlace()},${delta}`)];
      case 'reasoning':
        return [
          this.#frame('response.reasoning_summary_text.delta', `${this.#contentPlace()},${delta}`),
        ];
      default:
        return [
          this.#frame('response.function_call_arguments.delta', `${this.#idPlace()},${delta}`),
        ];
    }
  }

  #closeItem(): Frame[] {
    const item = this.#item;
    if (item === undefined) return [];
    const json = itemJson(item, this.#identity, true);
    const frames = [
      ...this.#closeContent(item),
      this.#frame('response.output_item.done', `${this.#place()},"item":${json}`),
    ];
    this.#output.push(json);
    this.#item = undefined;
    return frames;
  }

  #closeContent(item: Item): Frame[] {
    const text = JSON.stringify(item.text);
    const place = this.#contentPlace();
    switch (item.first.type) {
      case 'text':
        return [
          this.#frame('response.output_text.done', `${place},"text":${text},"logprobs":[]`),
          this.#frame('response.content_part.done', `${place},"part":${partJson(item)}`),
        ];
      case 'refusal':
        return [
          this.#frame('response.refusal.done', `${place},"refusal":${text}`),
          this.#frame('response.content_part.done', `${place},"part":${partJson(item)}`),
        ];
      case 'reasoning':
        return [
          this.#frame('response.reasoning_summary_text.done', `${place},"text":${text}`),
          this.#frame(
            'response.reasoning_summary_part.done',
            `${place},"part":${summaryJson(item)}`,
          ),
        ];
      default: {
        const given = JSON.stringify(item.text || '{}');
        const done = `${this.#idPlace()},"arguments":${given}`;
        return [this.#frame('response.function_call_arguments.done', done)];
      }
    }
  }

  #place(): string {
    return `"output_index":${this.#item?.index ?? 0}`;
  }

  #idPlace(): string {
    return `"item_id":${this.#item?.id ?? '""'},${this.#place()}`;
  }

  #contentPlace(): string {
    const index = this.#item?.first.type === 'reasoning' ? 'summary_index' : 'content_index';
    return `${this.#idPlace()},"${index}":0`;
  }

  #response(event: string, state: ResponseState): Frame {
    return this.#frame(event, `"response":${this.#responseJson(state)}`);
  }

  #responseJson(state: ResponseState): string {
    const all = { output: this.#output, extra: this.#extra, ...state };
    return responseJson(this.#call, this.#identity, all);
  }

  #frame(event: string, fields: string): Frame {
    const sequence = this.#sequence++;
    const data = `{"type":"${event}","sequence_number":${sequence},${fields}${this.#vendor}}`;
    return { event, data };
  }
}

/** OpenAI's Responses. */
export const openAiResponses: WireFormat = {
  name: 'openai-responses',
  serves: (path) => path === '/v1/responses',
  requestIdHeader: 'x-request-id',
  maxChoices: 1,
  streamError: 'server_error',
  keepAlive: KEEP_ALIVE,
  unreadable: {
    event: 'response.output_text.delta',
    data: '{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":',
  },
  malformed: {
    event: 'keepalive',
    data: '{"type":"keepalive","padding":" bro',
  },
  keyHeader: (headers) => headers.authorization?.replace(/^Bearer /iu, ''),
  read: readAsked,
  newId: (number) => `resp_sim_${String(number).padStart(9, '0')}`,
  encoder: (call, identity) => new ResponsesEncoder(call, identity),
  error: openAiError,
  errorBody,
  rateLimitHeaders,
};
