import { createHash } from 'node:crypto';
import { openAiError, type ProviderError } from '../errors.ts';
import { openAiChat } from '../openai-chat/format.ts';
import type { JsonObject } from '../request-json.ts';
import { estimatedTokens, isRecord, textOf } from '../request-json.ts';
import type { Asked, Call, Identity, WireFormat } from '../steps.ts';

// OpenAI's embeddings and moderations, and the rerank API of Cohere, Jina and vLLM: with all behaviours of a whole answer.
// The same input always gets the same answer.

interface WholeApi {
  readonly path: string;
  readonly prefix: string;
  /** The texts of a request; undefined if it has none. */
  inputs(body: JsonObject): readonly string[] | undefined;
  /** The name of the missing member then. */
  readonly param: string;
  /** The members of the answer. */
  answer(body: JsonObject, inputs: readonly string[], call: Call, id: Identity): object;
}

function formatOf({ path, prefix, inputs, param, answer }: WholeApi): WireFormat {
  return {
    ...openAiChat,
    serves: (asked) => asked === path,
    maxChoices: 1,
    newId: (number) => `${prefix}-sim-${String(number).padStart(9, '0')}`,
    read(body): Asked | ProviderError {
      const invalid = (message: string, name: string): ProviderError => ({
        ...openAiError('invalid_request'),
        message,
        param: name,
      });
      if (!isRecord(body)) return invalid('The body must be a JSON object.', 'body');
      const { model, user } = body;
      if (typeof model !== 'string') return invalid('you must provide a model parameter', 'model');
      const texts = inputs(body);
      if (texts === undefined) return invalid(`'${param}' is missing or invalid.`, param);
      const text = texts.join('\n');
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
        user: typeof user === 'string' ? user : '',
      };
    },
    encoder: (call, identity) => ({
      frames: () => [],
      error: () => [],
      whole() {
        const body = JSON.parse(call.rawBody) as JsonObject;
        return JSON.stringify(answer(body, inputs(body) ?? [], call, identity));
      },
    }),
  };
}

/** Texts, lists of tokens and objects, each as a text. */
const listOf = (value: unknown): string[] =>
  (Array.isArray(value) ? value : []).map((one: unknown) =>
    typeof one === 'string' ? one : isRecord(one) ? textOf([one]) : JSON.stringify(one),
  );

function inputsOf({ input }: JsonObject): string[] | undefined {
  if (typeof input === 'string') return input === '' ? undefined : [input];
  if (!Array.isArray(input) || input.length === 0) return undefined;
  // One input as tokens.
  if (input.every((one) => typeof one === 'number')) return [JSON.stringify(input)];
  return listOf(input);
}

/** Those of OpenAI's `text-embedding-3-small`. */
const DIMENSIONS = 1536;
const MAX_DIMENSIONS = 4096;

/** A vector of length 1 for a text, the same for equal texts. */
export function expectedEmbedding(text: string, dimensions = DIMENSIONS): number[] {
  // xorshift32
  let state = createHash('sha256').update(text).digest().readUInt32LE() || 1;
  const vector = Array.from({ length: dimensions }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 31 - 1;
  });
  const length = Math.hypot(...vector);
  return vector.map((value) => Math.fround(value / length));
}

const promptUsage = ({ asked, options }: Call): object =>
  options.usage === 'never'
    ? {}
    : { usage: { prompt_tokens: asked.promptTokens, total_tokens: asked.promptTokens } };

const embeddings = formatOf({
  path: '/v1/embeddings',
  prefix: 'emb',
  inputs: inputsOf,
  param: 'input',
  answer({ dimensions, encoding_format: encoding }, inputs, call) {
    const isValid = typeof dimensions === 'number' && dimensions >= 1;
    const size = isValid ? Math.min(Math.floor(dimensions), MAX_DIMENSIONS) : DIMENSIONS;
    const data = inputs.map((text, index) => {
      const vector = expectedEmbedding(text, size);
      const bytes =
        encoding === 'base64' ? Buffer.from(Float32Array.from(vector).buffer) : undefined;
      return { object: 'embedding', index, embedding: bytes?.toString('base64') ?? vector };
    });
    return { object: 'list', data, model: call.asked.model, ...promptUsage(call) };
  },
});

/** OpenAI's categories. An input is flagged with those that it names. */
const CATEGORIES = [
  'harassment',
  'harassment/threatening',
  'hate',
  'hate/threatening',
  'illicit',
  'illicit/violent',
  'self-harm',
  'self-harm/intent',
  'self-harm/instructions',
  'sexual',
  'sexual/minors',
  'violence',
  'violence/graphic',
] as const;

const eachCategory = <T>(value: (category: string) => T): Record<string, T> =>
  Object.fromEntries(CATEGORIES.map((category) => [category, value(category)]));

const moderations = formatOf({
  path: '/v1/moderations',
  prefix: 'modr',
  inputs: inputsOf,
  param: 'input',
  answer(_body, inputs, call, identity) {
    const results = inputs.map((text) => {
      const names = (category: string) => text.toLowerCase().includes(category);
      return {
        flagged: CATEGORIES.some(names),
        categories: eachCategory(names),
        category_scores: eachCategory((category) => (names(category) ? 0.9 : 0.01)),
        category_applied_input_types: eachCategory((category) => (names(category) ? ['text'] : [])),
      };
    });
    return { id: JSON.parse(identity.id) as string, model: call.asked.model, results };
  },
});

/** The share of the query's words that a text has. */
function relevance(query: string, text: string): number {
  const words = (of: string) => of.toLowerCase().split(/\W+/u).filter(Boolean);
  const has = new Set(words(text));
  const asked = words(query);
  return asked.filter((word) => has.has(word)).length / Math.max(1, asked.length);
}

const rerank = formatOf({
  path: '/v1/rerank',
  prefix: 'rerank',
  param: 'documents',
  inputs: ({ query, documents }) =>
    typeof query === 'string' && Array.isArray(documents) && documents.length > 0
      ? [query, ...listOf(documents)]
      : undefined,
  answer({ documents, top_n: most, return_documents: returns }, [query = '', ...texts], call, id) {
    const results = texts
      .map((text, index) => ({
        index,
        relevance_score: relevance(query, text),
        ...(returns === true && { document: (documents as unknown[])[index] }),
      }))
      .toSorted((a, b) => b.relevance_score - a.relevance_score)
      .slice(0, typeof most === 'number' && most > 0 ? most : texts.length);
    const { promptTokens: total } = call.asked;
    return {
      id: JSON.parse(id.id) as string,
      model: call.asked.model,
      results,
      ...(call.options.usage !== 'never' && { usage: { total_tokens: total } }),
    };
  },
});

/** The user's messages, and an item that stands for all of the conversation. */
const compaction = formatOf({
  path: '/v1/responses/compact',
  prefix: 'resp',
  inputs: inputsOf,
  param: 'input',
  answer({ input }, inputs, call, id) {
    const items = Array.isArray(input) ? (input as unknown[]) : [{ role: 'user', content: input }];
    const { promptTokens: total } = call.asked;
    return {
      id: JSON.parse(id.id) as string,
      object: 'response.compaction',
      created_at: Number(id.created),
      output: [
        ...items.filter((item) => isRecord(item) && item['role'] === 'user'),
        {
          id: 'cmp_simulated',
          type: 'compaction',
          encrypted_content: Buffer.from(inputs.join('\n')).toString('base64'),
        },
      ],
      ...(call.options.usage !== 'never' && {
        usage: { input_tokens: total, output_tokens: 1, total_tokens: total + 1 },
      }),
    };
  },
});

export const passThroughFormats: readonly WireFormat[] = [
  embeddings,
  moderations,
  rerank,
  compaction,
];
