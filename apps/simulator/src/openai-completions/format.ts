import { openAiError, type ProviderError } from '../errors.ts';
import { errorBody, openAiChat } from '../openai-chat/format.ts';
import { chatHead, chatUsage } from '../openai-chat/json.ts';
import { readAsked } from '../openai-chat/request.ts';
import { isRecord } from '../request-json.ts';
import type {
  AnswerEvent,
  Asked,
  Call,
  Encoder,
  ErrorShape,
  Frame,
  Identity,
  Usage,
  WireFormat,
} from '../steps.ts';
import { VENDOR_CHOICE } from '../vendor.ts';

// OpenAI's Completions, as servers of open models have them beside chat completions: with all behaviours of a text. A prompt that
// ends with a part of the answer is continued by a model that continues answers (`prefill`).

function read(body: unknown): Asked | ProviderError {
  const { prompt: given, logprobs, ...others } = isRecord(body) ? body : {};
  const prompt: unknown = Array.isArray(given) && given.length === 1 ? given[0] : given;
  if (typeof prompt !== 'string') {
    return { ...openAiError('invalid_request'), message: "'prompt' is no text.", param: 'prompt' };
  }
  const asked = readAsked({ ...others, messages: [{ role: 'user', content: prompt }] });
  if ('status' in asked) return asked;
  return { ...asked, logprobs: typeof logprobs === 'number', trailingAssistant: prompt };
}

class TextEncoder implements Encoder {
  readonly #call: Call;
  readonly #identity: Identity;
  /** Characters of each choice so far. */
  readonly #offsets = new Map<number, number>();

  constructor(call: Call, identity: Identity) {
    this.#call = call;
    this.#identity = identity;
  }

  frames(event: AnswerEvent): Frame[] {
    const { asked, options } = this.#call;
    switch (event.type) {
      case 'text':
      case 'refusal':
        return [this.#chunk(this.#choice(event.choice, event.text, 'null'))];
      case 'finish':
        return [this.#chunk(this.#choice(event.choice, '', `"${event.reason}"`))];
      case 'usage':
        return options.usage === 'always' || (options.usage === 'asked' && asked.includeUsage)
          ? [this.#chunk('', event.usage)]
          : [];
      case 'done':
        return [{ data: '[DONE]' }];
      default:
        return [];
    }
  }

  error(_shape: ErrorShape, error: ProviderError): Frame[] {
    return [{ data: errorBody(error) }];
  }

  whole(events: readonly AnswerEvent[]): string {
    const texts = new Map<number, { tokens: string[]; finish: string }>();
    let usage: Usage | undefined;
    for (const event of events) {
      if (event.type === 'usage') usage = event.usage;
      else if (event.type !== 'done') {
        const one = texts.get(event.choice) ?? { tokens: [], finish: 'null' };
        texts.set(event.choice, one);
        if (event.type === 'text' || event.type === 'refusal') one.tokens.push(event.text);
        if (event.type === 'finish') one.finish = `"${event.reason}"`;
      }
    }
    const choices = [...texts].map(([index, { tokens, finish }]) =>
      this.#choice(index, tokens.join(''), finish, tokens),
    );
    return this.#answer(
      choices.join(','),
      this.#call.options.usage === 'never' ? undefined : usage,
    );
  }

  #choice(index: number, text: string, finish: string, tokens = text === '' ? [] : [text]): string {
    const { asked, options } = this.#call;
    const start = this.#offsets.get(index) ?? 0;
    this.#offsets.set(index, start + text.length);
    const offsets = tokens.map((_, at) => start + tokens.slice(0, at).join('').length);
    const logprobs = asked.logprobs && {
      tokens,
      token_logprobs: tokens.map(() => -0.125),
      top_logprobs: tokens.map(() => ({})),
      text_offset: offsets,
    };
    const shown = JSON.stringify(logprobs || null);
    const vendor = options.vendor === 1 ? VENDOR_CHOICE : '';
    return `{"index":${index},"text":${JSON.stringify(text)},"logprobs":${shown},"finish_reason":${finish}${vendor}}`;
  }

  #answer(choices: string, usage: Usage | undefined): string {
    const { asked, options } = this.#call;
    const model = JSON.stringify(asked.model);
    const head = chatHead('text_completion', model, this.#identity, options.vendor === 1);
    const shown = usage ? `,"usage":${chatUsage(usage, asked.promptTokens)}` : '';
    return `{${head},"choices":[${choices}]${shown}}`;
  }

  #chunk(choice: string, usage?: Usage): Frame {
    return { data: this.#answer(choice, usage) };
  }
}

export const openAiCompletions: WireFormat = {
  ...openAiChat,
  serves: (path) => path === '/v1/completions',
  newId: (number) => `cmpl-sim-${String(number).padStart(9, '0')}`,
  read,
  encoder: (call, identity) => new TextEncoder(call, identity),
};
