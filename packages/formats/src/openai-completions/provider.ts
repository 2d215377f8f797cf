import type { Fault } from '@millrace/shared/domain/fault';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { memberText, setMembers, withoutMember } from '@millrace/shared/domain/json-text';
import { readAnswer } from '../event-stream/answer-reader.ts';
import type { AnswerDecoder, Taken } from '../event-stream/answer-reader.ts';
import type { UpstreamEvent } from '../event-stream/parser.ts';
import { parseExactly } from '../exact-json.ts';
import { openAiChat, requestTo } from '../openai-chat/provider.ts';
import { ChunkDecoder } from '../openai-chat/stream.ts';
import { streamOptionsFor } from '../openai-chat/stream-options.ts';
import { readWhole } from '../openai-chat/whole.ts';
import type {
  AnswerSink,
  ProviderCall,
  ProviderFormat,
  UpstreamRequest,
  Verdict,
} from '../port.ts';
import { refusalFault, RefusedError } from '../refused.ts';
import { promptOf } from './client/request.ts';

/**
 * The Completions API of a server that also has OpenAI's Chat Completions (vLLM, llama.cpp, OpenRouter, DeepSeek). Only
 * clients of that API are served by it, so every call is a `native` one.
 */
export const openAiCompletions: ProviderFormat = {
  ...openAiChat,
  request,
  readStream: (call, sink) => readAnswer(new CompletionDecoder(call, sink)),
  readWhole: (text, call) => readCompletion(text, call),
  // Any text is the beginning of one.
  prefillOf: () => true,
};

function request(call: ProviderCall): UpstreamRequest | Fault {
  const { body = call.body, turns = [] } = call.native ?? {};
  const [delivered, asked] = turns;
  if (asked) {
    return refusalFault(new RefusedError('prompt', 'A text is only continued, not asked for.'));
  }
  const members: Record<string, string> = { model: JSON.stringify(call.model) };
  if (delivered) {
    const prompt = promptOf(JSON.parse(memberText(body, 'prompt') ?? 'null'));
    members['prompt'] = JSON.stringify(prompt + delivered.content);
    // What was delivered already counts against the limit.
    const limit = memberText(call.body, 'max_tokens');
    if (limit !== undefined) members['max_tokens'] = limit;
  }
  const options = call.stream ? streamOptionsFor({ ...call, body }) : undefined;
  if (typeof options === 'string') members['stream_options'] = options;
  const own = options === null ? withoutMember(body, 'stream_options') : body;
  return requestTo('/completions', call, setMembers(own, members));
}

/** A completion, or a chunk of one, in the form of a chat completion; its other members stay. `part`: of a choice with its text. */
function toChat(value: JsonObject, object: string, part: 'delta' | 'message'): JsonObject {
  const { choices } = value;
  if (!Array.isArray(choices)) return value;
  const role = part === 'message' ? { role: 'assistant' } : {};
  const chatChoice = (choice: unknown): unknown => {
    if (!isJsonObject(choice)) return choice;
    const { text, ...more } = choice;
    return { ...more, [part]: text === undefined ? {} : { ...role, content: text } };
  };
  return { ...value, object, choices: itemsOf(choices).map(chatChoice) };
}

class CompletionDecoder implements AnswerDecoder {
  private readonly chat: ChunkDecoder;

  constructor(call: ProviderCall, sink: AnswerSink) {
    this.chat = new ChunkDecoder(call, sink);
  }

  get finished(): boolean {
    return this.chat.finished;
  }

  completed(isCut: boolean): Verdict {
    return this.chat.completed(isCut);
  }

  faultIn(event: UpstreamEvent, value: JsonObject | undefined): Fault | undefined {
    return this.chat.faultIn(event, value);
  }

  done(): Taken {
    return this.chat.done();
  }

  take(value: JsonObject, event: UpstreamEvent): Taken {
    return this.chat.take(toChunk(value), { ...event, data: chunkText(value, event.data) });
  }

  takeUsage(value: JsonObject, event: UpstreamEvent): void {
    this.chat.takeUsage(toChunk(value), { ...event, data: chunkText(value, event.data) });
  }
}

const toChunk = (value: JsonObject): JsonObject => toChat(value, 'chat.completion.chunk', 'delta');

/** With numbers that a double cannot hold as they are written. */
function chunkText(value: JsonObject, data: string): string {
  const exact = /\d{16}/.test(data) ? parseExactly(data) : value;
  return JSON.stringify(toChunk(isJsonObject(exact) ? exact : value));
}

function readCompletion(text: string, call: ProviderCall): Verdict & { body?: string } {
  let value: unknown;
  try {
    value = parseExactly(text);
  } catch {
    // It is no answer.
  }
  const body = isJsonObject(value)
    ? JSON.stringify(toChat(value, 'chat.completion', 'message'))
    : text;
  const verdict = readWhole(body, call);
  return verdict.kind === 'completed' ? { body, ...verdict } : verdict;
}
