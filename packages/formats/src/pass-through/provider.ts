import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { isJsonObject, parseShallow } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { memberText, setMembers, topLevelMembers } from '@millrace/shared/domain/json-text';
import type { Endpoint } from '@millrace/shared/domain/request';
import { usageOf } from '../openai-chat/chunk.ts';
import { faultIn } from '../openai-chat/errors.ts';
import { openAiChat, requestTo } from '../openai-chat/provider.ts';
import type {
  AnsweredCall,
  ProviderCall,
  ProviderFormat,
  UpstreamRequest,
  Verdict,
} from '../port.ts';
import { bodyOf } from './bytes.ts';
import { writeForm } from './form.ts';

/*
 * OpenAI's APIs, and those of compatible servers, whose requests and answers pass through byte for byte, but for the model:
 * whole calls without a conversation, of which nothing can be continued or translated.
 */

type PassThroughApi = {
  /** After a provider's base URL. */
  path: string;
  /** The provider gets a form. */
  isForm?: true;
};

type ResultsApi = PassThroughApi & {
  /** The member of an answer with its results, an array; of several, one is there. */
  results: readonly string[];
  /** An answer may have no result. */
  mayBeEmpty?: true;
};

const requestFor =
  ({ path, isForm }: PassThroughApi) =>
  (call: ProviderCall) => {
    const body = setMembers(call.body, { model: JSON.stringify(call.model) });
    return isForm ? formTo(path, call, body) : requestTo(path, call, body);
  };

function formTo(path: string, call: ProviderCall, body: string): UpstreamRequest {
  const boundary = `millrace-${randomUUID()}`;
  const { headers, ...request } = requestTo(path, call, '');
  return {
    ...request,
    headers: { ...headers, 'content-type': `multipart/form-data; boundary=${boundary}` },
    bytes: writeForm(JSON.parse(body) as JsonObject, boundary),
  };
}

function passThroughFormat(api: ResultsApi): ProviderFormat {
  return {
    ...openAiChat,
    maxValues: Infinity,
    request: requestFor(api),
    readWhole: (text, call) => readAnswer(text, api, call),
  };
}

const acceptAnything =
  (request: (call: ProviderCall) => UpstreamRequest) =>
  (call: ProviderCall): UpstreamRequest => {
    const { headers, ...rest } = request(call);
    return { ...rest, headers: { ...headers, accept: '*/*' } };
  };

/** Its answer may be anything but JSON. */
function bytesFormat(
  api: PassThroughApi,
  readBytes: NonNullable<ProviderFormat['readBytes']>,
): ProviderFormat {
  return {
    ...openAiChat,
    maxValues: Infinity,
    request: acceptAnything(requestFor(api)),
    readBytes,
  };
}

const images = (path: string, more: { isForm?: true } = {}) =>
  passThroughFormat({ path, results: ['data'], ...more });

/** By endpoint; the others have no such format. */
export const passThroughFormats: Readonly<Partial<Record<Endpoint, ProviderFormat>>> = {
  '/v1/embeddings': passThroughFormat({ path: '/embeddings', results: ['data'] }),
  '/v1/moderations': passThroughFormat({ path: '/moderations', results: ['results'] }),
  // Voyage has `data`, Cohere, Jina and vLLM have `results`.
  '/v1/rerank': passThroughFormat({
    path: '/rerank',
    results: ['results', 'data'],
    mayBeEmpty: true,
  }),
  '/v1/images/generations': images('/images/generations'),
  '/v1/images/edits': images('/images/edits', { isForm: true }),
  '/v1/images/variations': images('/images/variations', { isForm: true }),
  '/v1/audio/speech': bytesFormat({ path: '/audio/speech' }, readSpeech),
  '/v1/audio/transcriptions': bytesFormat(
    { path: '/audio/transcriptions', isForm: true },
    readTranscript,
  ),
  '/v1/audio/translations': bytesFormat(
    { path: '/audio/translations', isForm: true },
    readTranscript,
  ),
};

/** Characters of an answer beside its results: these APIs have some hundred. */
const maxOtherChars = 64 * 1024;

/** The results can be millions of numbers, and are not parsed. */
function readAnswer(text: string, api: ResultsApi, call: AnsweredCall): Verdict {
  const results: Record<string, string> = {};
  let others: string;
  try {
    const members = topLevelMembers(text);
    for (const name of api.results) {
      const span = members.get(name);
      if (span && text[span.start] === '[') results[name] = text.slice(span.start, span.end);
    }
    const emptied = Object.fromEntries(Object.keys(results).map((name) => [name, '[]']));
    others = setMembers(text, emptied);
  } catch {
    return invalid('something that is no JSON object');
  }
  if (others.length > maxOtherChars) return invalid('no results');
  const answer = parse(others);
  if (!answer) return invalid('something that is no JSON object');
  const fault = faultIn(answer, call);
  const texts = Object.values(results);
  // An answer with results may have any members beside them that resemble an error's.
  if (fault && (texts.length === 0 || answer['error'])) return { kind: 'fault', fault };
  const hasResults = texts.some((one) => api.mayBeEmpty || !/^\[\s*\]$/.test(one));
  if (!hasResults) return invalid('no results');
  return { kind: 'completed', finishReason: null, usage: countedUsage(usageOf(answer)) };
}

/** Audio. Some servers name no media type. */
function readSpeech(
  bytes: Buffer,
  contentType: string,
  call: AnsweredCall,
): Verdict & { body?: string } {
  const [type = ''] = contentType.toLowerCase().split(';');
  const isAudio = /^(audio\/[\w.+-]+|application\/octet-stream|)$/.test(type.trim());
  if (isAudio && bytes.length > 0) {
    return { kind: 'completed', finishReason: null, body: bodyOf(bytes, type.trim()) };
  }
  const answer = parse(bytes.toString());
  const fault = isJsonObject(answer) ? faultIn(answer, call) : undefined;
  return fault ? { kind: 'fault', fault } : invalid('no audio');
}

/** JSON with a text, or the text itself, also as subtitles. */
function readTranscript(
  bytes: Buffer,
  contentType: string,
  call: AnsweredCall,
): Verdict & { body?: string } {
  if (!isUtf8(bytes)) return invalid('bytes that are no UTF-8');
  const text = bytes.toString();
  const isPlain = ['"text"', '"srt"', '"vtt"'].includes(
    memberText(call.body, 'response_format') ?? '',
  );
  const answer = parse(text);
  const fault = isJsonObject(answer) ? faultIn(answer, call) : undefined;
  if (fault) return { kind: 'fault', fault };
  if (isJsonObject(answer) && !isPlain) {
    if (typeof answer['text'] !== 'string') return invalid('no text');
    const usage = countedUsage(usageOf(answer));
    return { kind: 'completed', finishReason: null, body: text, usage };
  }
  if (!isPlain || /html/i.test(contentType)) return invalid('no text');
  const body = bodyOf(bytes, 'text/plain;charset=utf-8');
  return { kind: 'completed', finishReason: null, body };
}

/** Some servers report only the sum, which is the prompt: nothing is generated. Images and audio have the names of OpenAI's newer APIs. */
function countedUsage(usage: JsonObject | undefined): JsonObject | undefined {
  if (!usage || typeof usage['prompt_tokens'] === 'number') return usage;
  const { total_tokens: total, input_tokens: input, output_tokens: output } = usage;
  const { audio_tokens: audio } = isJsonObject(usage['input_token_details'])
    ? usage['input_token_details']
    : {};
  if (typeof input === 'number') {
    const completion = typeof output === 'number' ? output : 0;
    return {
      prompt_tokens: input,
      completion_tokens: completion,
      total_tokens: input + completion,
      ...(typeof audio === 'number' && { prompt_tokens_details: { audio_tokens: audio } }),
    };
  }
  return typeof total === 'number' ? { ...usage, prompt_tokens: total } : undefined;
}

const parse = (text: string): JsonObject | undefined => {
  try {
    return parseShallow(text) as JsonObject;
  } catch {
    return undefined;
  }
};

const invalid = (what: string): Verdict => ({
  kind: 'fault',
  fault: { code: 'upstream_invalid_response', message: `The provider answered with ${what}.` },
});
