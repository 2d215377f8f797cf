import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { isJsonObject, parseShallow, readJsonObject } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { memberText, setMembers, topLevelMembers } from '@millrace/shared/domain/json-text';
import type { Endpoint } from '@millrace/shared/domain/request';
import { usageOf } from '../openai-chat/chunk.ts';
import { faultIn } from '../openai-chat/errors.ts';
import { openAiChat, requestTo } from '../openai-chat/provider.ts';
import type {
  AnsweredCall,
  Headers,
  ProviderCall,
  ProviderFormat,
  UpstreamRequest,
  Verdict,
} from '../port.ts';
import { bodyOf, bytesIn } from './bytes.ts';
import { writeForm } from './form.ts';
import { asStream, imageEvents, readAudio, readEvents } from './stream.ts';
import { countedUsage } from './usage.ts';

/*
 * OpenAI's APIs, and those of compatible servers, whose requests and answers pass through byte for byte, but for the model:
 * calls without a conversation, of which nothing can be continued or translated.
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

/** `event`: how the names of its events begin. */
const images = (path: string, event: string, more: { isForm?: true } = {}): ProviderFormat => ({
  ...passThroughFormat({ path, results: ['data'], ...more }),
  readStream: readEvents,
  wholeAsStream: (body) => asStream(imageEvents(event, body)),
  mayBeSilent: true,
});

const contentTypeOf = ({ 'content-type': type }: Headers): string =>
  String(type ?? '')
    .toLowerCase()
    .split(';', 1)
    .join('')
    .trim();

/** Audio that comes as it is, and not in events. */
const isAudio = (headers: Headers): boolean =>
  /^(audio\/[\w.+-]+|application\/octet-stream)$/.test(contentTypeOf(headers));

const speech: ProviderFormat = {
  ...bytesFormat({ path: '/audio/speech' }, readSpeech),
  streamsBytes: isAudio,
  readStream: (call, sink, headers = {}) =>
    isAudio(headers) ? readAudio(sink, contentTypeOf(headers)) : readEvents(call, sink),
  wholeAsStream(body) {
    const { bytes } = bytesIn(body) ?? {};
    return asStream([
      { type: 'speech.audio.delta', audio: bytes?.toString('base64') ?? '' },
      { type: 'speech.audio.done' },
    ]);
  },
};

const transcriptions: ProviderFormat = {
  ...bytesFormat({ path: '/audio/transcriptions', isForm: true }, readTranscript),
  readStream: readEvents,
  wholeAsStream(body) {
    const { bytes } = bytesIn(body) ?? {};
    const answer = bytes ? { text: bytes.toString() } : readJsonObject(body);
    return asStream([{ type: 'transcript.text.done', ...answer }]);
  },
  mayBeSilent: true,
};

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
  '/v1/responses/compact': passThroughFormat({ path: '/responses/compact', results: ['output'] }),
  '/v1/images/generations': images('/images/generations', 'image_generation'),
  '/v1/images/edits': images('/images/edits', 'image_edit', { isForm: true }),
  '/v1/images/variations': images('/images/variations', 'image_edit', { isForm: true }),
  '/v1/audio/speech': speech,
  '/v1/audio/transcriptions': transcriptions,
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
