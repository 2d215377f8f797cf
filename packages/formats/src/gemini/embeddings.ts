import { isJsonObject, itemsOf, parseShallow } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { tokensInJson } from '@millrace/shared/domain/tokens';
import { parseExactly } from '../exact-json.ts';
import { faultIn as openAiFaultIn } from '../openai-chat/errors.ts';
import { openAiChat, requestTo } from '../openai-chat/provider.ts';
import type { AnsweredCall, ProviderFormat, Verdict } from '../port.ts';
import { RefusedError, invalid } from '../refused.ts';
import { translatedRequest } from '../upstream-request.ts';
import { member } from './client/names.ts';
import { faultIn as geminiFaultIn } from './errors.ts';
import { gemini, geminiRequest, resourceOf } from './provider.ts';

/*
 * Embeddings between the APIs of OpenAI (`/v1/embeddings`) and of Google (`embedContent`, `batchEmbedContents`), in both directions.
 * Vectors can be millions of numbers, which are moved as text.
 */

/** The request of a client of Google at a provider of Google: one content, or `requests`. */
export const geminiEmbeddings: ProviderFormat = {
  ...gemini,
  maxValues: Infinity,
  request: (call) =>
    translatedRequest(call, () => {
      const { model: _model, ...body } = parseExactly(call.body) as JsonObject;
      const isBatch = Array.isArray(body['requests']);
      // Each request of a batch has to name the model of the URL.
      const model = resourceOf(call.model, false);
      const requests = itemsOf(body['requests']).map((one) => ({ ...Object(one), model }));
      return geminiRequest(
        call,
        isBatch ? 'batchEmbedContents' : 'embedContent',
        JSON.stringify(isBatch ? { ...body, requests } : body),
      );
    }),
  readWhole(text, call) {
    const read = readGoogles(text, call);
    return read.kind === 'fault' ? read : completed(read.usage);
  },
};

/** The request of a client of OpenAI at a provider of Google. */
export const openAiEmbeddingsAtGemini: ProviderFormat = {
  ...gemini,
  maxValues: Infinity,
  request: (call) =>
    translatedRequest(call, () => {
      const { input, dimensions } = JSON.parse(call.body) as JsonObject;
      const requests = textsOf(input).map((text) => ({
        model: resourceOf(call.model, false),
        content: { parts: [{ text }] },
        ...(dimensions !== undefined &&
          dimensions !== null && { outputDimensionality: dimensions }),
      }));
      return geminiRequest(call, 'batchEmbedContents', JSON.stringify({ requests }));
    }),
  readWhole(text, call) {
    const read = readGoogles(text, call);
    if (read.kind === 'fault') return read;
    const { input, encoding_format: encoding } = JSON.parse(call.body) as JsonObject;
    const { vectors, usage } = read;
    if (vectors.length !== (Array.isArray(input) ? input.length : 1)) return invalidAnswer;
    const written = encoding === 'base64' ? vectors.map(asBase64) : vectors.map(asArray);
    if (written.includes(undefined)) return invalidAnswer;
    const data = written.map(
      (vector, index) => `{"object":"embedding","index":${index},"embedding":${vector ?? ''}}`,
    );
    const estimated = Math.ceil(tokensInJson(JSON.stringify(input)));
    const { prompt_tokens: tokens = estimated } = usage ?? {};
    return {
      ...completed(usage),
      body: `{"object":"list","data":[${data.join(',')}],"model":${JSON.stringify(call.model)},"usage":{"prompt_tokens":${tokens},"total_tokens":${tokens}}}`,
    };
  },
};

/** The request of a client of Google at a provider of OpenAI. */
export const geminiEmbeddingsAtOpenAi: ProviderFormat = {
  ...openAiChat,
  maxValues: Infinity,
  request: (call) =>
    translatedRequest(call, () => {
      const asked = requestsOf(JSON.parse(call.body) as JsonObject);
      const [dimensions, ...others] = new Set(asked.map(dimensionsOf));
      if (others.length > 0) {
        throw new RefusedError(
          'requests',
          'The model serves only requests with the same outputDimensionality.',
        );
      }
      const body = {
        model: call.model,
        input: asked.map(textOf),
        ...(dimensions !== undefined && { dimensions }),
        encoding_format: 'float',
      };
      return requestTo('/embeddings', call, JSON.stringify(body));
    }),
  readWhole(text, call) {
    const read = readOpenAis(text, call);
    if (read.kind === 'fault') return read;
    const asked = JSON.parse(call.body) as JsonObject;
    const { vectors, usage } = read;
    if (vectors.length !== requestsOf(asked).length) return invalidAnswer;
    const embeddings = vectors.map((vector) => `{"values":${asArray(vector)}}`);
    const result = Array.isArray(asked['requests'])
      ? `"embeddings":[${embeddings.join(',')}]`
      : `"embedding":${embeddings[0] ?? ''}`;
    const tokens = usage?.prompt_tokens;
    const counted = tokens === undefined ? '' : `,"usageMetadata":{"promptTokenCount":${tokens}}`;
    return { ...completed(usage), body: `{${result}${counted}}` };
  },
};

type Usage = { prompt_tokens: number; total_tokens: number };

/** `vectors`: their numbers, as text without brackets. */
type Read = { kind: 'vectors'; vectors: readonly string[]; usage: Usage | undefined };
type Fault = Extract<Verdict, { kind: 'fault' }>;

function readGoogles(text: string, call: AnsweredCall): Read | Fault {
  const answer = withoutVectors(text, 'values');
  if (!answer) return invalidAnswer;
  const { value, arrays } = answer;
  const embeddings =
    value['embedding'] === undefined ? itemsOf(value['embeddings']) : [value['embedding']];
  if (embeddings.length === 0) {
    const fault = geminiFaultIn(value, { body: call.body });
    return fault ? { kind: 'fault', fault } : invalidAnswer;
  }
  const vectors = embeddings.map((one) => vectorAt(arrays, isJsonObject(one) && one['values']));
  const metadata = value['usageMetadata'];
  const tokens = isJsonObject(metadata) ? metadata['promptTokenCount'] : undefined;
  return areAll(vectors) ? { kind: 'vectors', vectors, usage: usageOf(tokens) } : invalidAnswer;
}

function readOpenAis(text: string, call: AnsweredCall): Read | Fault {
  const answer = withoutVectors(text, 'embedding');
  if (!answer) return invalidAnswer;
  const { value, arrays } = answer;
  const data = itemsOf(value['data']);
  if (data.length === 0 || value['error']) {
    const fault = openAiFaultIn(value, call);
    return fault ? { kind: 'fault', fault } : invalidAnswer;
  }
  const vectors = Array.from<string | undefined>({ length: data.length });
  for (const [place, one] of data.entries()) {
    if (!isJsonObject(one)) return invalidAnswer;
    const { index = place, embedding } = one;
    if (typeof index !== 'number') return invalidAnswer;
    vectors[index] = vectorAt(arrays, embedding);
  }
  const usage = value['usage'];
  const { prompt_tokens: prompt, total_tokens: total } = isJsonObject(usage) ? usage : {};
  return vectors.length === data.length && areAll(vectors)
    ? { kind: 'vectors', vectors, usage: usageOf(prompt ?? total) }
    : invalidAnswer;
}

/** Undefined for a place that is none: a provider left the vector out. */
const vectorAt = (arrays: readonly string[], place: unknown): string | undefined =>
  isJsonObject(place) ? arrays[Number(place[placeMember] ?? -1)] : undefined;

const areAll = (vectors: readonly (string | undefined)[]): vectors is readonly string[] =>
  vectors.every((vector) => vector !== undefined);

const numberPattern = String.raw`\s*-?\d[\d.eE+-]*\s*`;
const numbersPattern = `${numberPattern}(?:,${numberPattern})*`;

/** Characters of an answer beside the numbers of its vectors: some hundred for each of them. */
const maxOtherChars = 1024 * 1024;

/** The member of what stands for a vector while the rest is parsed. */
const placeMember = 'x_millrace_vector';

/** The answer with an object in place of each vector, which has the place of its text in `arrays`; undefined if it is no such answer. */
function withoutVectors(text: string, name: string) {
  const arrays: string[] = [];
  const others = text.replaceAll(
    new RegExp(`("${name}"\\s*:\\s*)\\[(${numbersPattern})\\]`, 'g'),
    (_all, before: string, numbers: string) =>
      `${before}{"${placeMember}":${arrays.push(numbers) - 1}}`,
  );
  if (others.length > maxOtherChars) return undefined;
  try {
    const value: unknown = parseShallow(others);
    return isJsonObject(value) ? { value, arrays } : undefined;
  } catch {
    return undefined;
  }
}

const asArray = (numbers: string): string => `[${numbers}]`;

/** OpenAI's base64: floats of 32 bits, little-endian. */
function asBase64(numbers: string): string | undefined {
  try {
    const floats = Float32Array.from(JSON.parse(asArray(numbers)) as number[]);
    return `"${Buffer.from(floats.buffer).toString('base64')}"`;
  } catch {
    return undefined;
  }
}

const usageOf = (tokens: unknown): Usage | undefined =>
  typeof tokens === 'number' ? { prompt_tokens: tokens, total_tokens: tokens } : undefined;

const completed = (usage: Usage | undefined): Verdict => ({
  kind: 'completed',
  finishReason: null,
  usage,
});

const invalidAnswer: Fault = {
  kind: 'fault',
  fault: {
    code: 'upstream_invalid_response',
    message: 'The provider answered with something that has no embeddings.',
  },
};

/** OpenAI's `input`: a text or several. Tokens mean nothing to another vendor's model. */
function textsOf(input: unknown): string[] {
  const all: readonly unknown[] = Array.isArray(input) ? input : [input];
  return all.map((one) => {
    if (typeof one === 'string') return one;
    throw new RefusedError('input', 'The model takes texts, and no tokens.');
  });
}

const requestsOf = (body: JsonObject): JsonObject[] =>
  (Array.isArray(body['requests']) ? (body['requests'] as unknown[]) : [body]).map((one) =>
    isJsonObject(one) ? one : {},
  );

/** The text of a request's content. */
function textOf(request: JsonObject, index: number): string {
  const { content } = request;
  const parts = isJsonObject(content) ? itemsOf(content['parts']) : [];
  return parts
    .map((part) => {
      const text = isJsonObject(part) ? part['text'] : undefined;
      if (typeof text === 'string') return text;
      throw new RefusedError(
        `requests[${index}].content.parts`,
        'The model takes texts, and no files.',
      );
    })
    .join('\n');
}

function dimensionsOf(request: JsonObject): number | undefined {
  const config = member(request, 'embedContentConfig');
  const value =
    member(request, 'outputDimensionality') ??
    (isJsonObject(config) ? member(config, 'outputDimensionality') : undefined);
  if (value === undefined || typeof value === 'number') return value;
  throw invalid('outputDimensionality', 'must be a number');
}
