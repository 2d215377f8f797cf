import type { ProviderError } from '../errors.ts';
import { expectedEmbedding } from '../openai-pass-through/formats.ts';
import type { JsonObject } from '../request-json.ts';
import { estimatedTokens, isRecord, records, textOf } from '../request-json.ts';
import type { Asked, WireFormat } from '../steps.ts';
import { geminiError } from './errors.ts';
import { gemini } from './format.ts';
import { embeddingsPathParts } from './request.ts';

/** That of `gemini-embedding-001`. */
const DIMENSIONS = 3072;

const requestsOf = (body: JsonObject, isBatch: boolean): readonly JsonObject[] =>
  isBatch ? records(body['requests']) : [body];

const contentText = ({ content }: JsonObject): string =>
  isRecord(content) ? textOf(content['parts']) : '';

/** Google's `embedContent` and `batchEmbedContents`, with all behaviours of a whole answer and the vectors of OpenAI's. */
export const geminiEmbeddings: WireFormat = {
  ...gemini,
  serves: (path) => embeddingsPathParts(path) !== undefined,
  modelIn: (path) => embeddingsPathParts(path)?.model,
  hasSent: () => false,
  maxChoices: 1,
  read(body, _headers, path): Asked | ProviderError {
    const { model = '', isBatch = false } = embeddingsPathParts(path) ?? {};
    const invalid = (message: string): ProviderError => ({
      ...geminiError('invalid_request'),
      message,
    });
    if (!isRecord(body)) return invalid('The body must be a JSON object.');
    const requests = requestsOf(body, isBatch);
    if (requests.length === 0) return invalid('requests: must not be empty');
    if (requests.some((one) => !isRecord(one['content']))) return invalid('content is required');
    // Google refuses a batch whose requests name another model than the URL.
    if (isBatch && requests.some((one) => one['model'] !== `models/${model}`)) {
      return invalid('model: must match the model of the URL');
    }
    const text = requests.map(contentText).join('\n');
    return {
      model,
      stream: false,
      includeUsage: false,
      n: 1,
      maxTokens: undefined,
      logprobs: false,
      tools: [],
      hasToolResult: false,
      // The answer depends on the input, so it is not reused.
      output: { kind: 'json' },
      text,
      trailingAssistant: undefined,
      promptTokens: estimatedTokens(text, 0),
      user: '',
    };
  },
  encoder: (call) => ({
    frames: () => [],
    error: () => [],
    whole() {
      const body = JSON.parse(call.rawBody) as JsonObject;
      const isBatch = Array.isArray(body['requests']);
      const embeddings = requestsOf(body, isBatch).map((request) => {
        const { outputDimensionality: size } = request;
        const dimensions = typeof size === 'number' && size >= 1 ? Math.floor(size) : DIMENSIONS;
        return {
          values: expectedEmbedding(contentText(request), Math.min(dimensions, DIMENSIONS)),
        };
      });
      const usage =
        call.options.usage === 'never'
          ? {}
          : { usageMetadata: { promptTokenCount: call.asked.promptTokens } };
      return JSON.stringify({
        ...(isBatch ? { embeddings } : { embedding: embeddings[0] }),
        ...usage,
      });
    },
  }),
};
