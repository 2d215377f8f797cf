import type { ProviderError } from '../errors.ts';
import type { JsonObject } from '../request-json.ts';
import { estimatedTokens, isRecord, records, textOf } from '../request-json.ts';
import type { Asked, Output, Tool } from '../steps.ts';
import { geminiError } from './errors.ts';

const PATH = /^\/v1(?:alpha|beta)?\/models\/(.+):(generateContent|streamGenerateContent)$/u;

/** The model and the method of a path; undefined if it is no path of this API. */
export function pathParts(path: string): { model: string; stream: boolean } | undefined {
  const [, model, method] = PATH.exec(path) ?? [];
  if (model === undefined) return undefined;
  return { model: decoded(model), stream: method === 'streamGenerateContent' };
}

const EMBEDDINGS_PATH = /^\/v1(?:alpha|beta)?\/models\/(.+):(embedContent|batchEmbedContents)$/u;

/** As `pathParts`, for embeddings. */
export function embeddingsPathParts(path: string): { model: string; isBatch: boolean } | undefined {
  const [, model, method] = EMBEDDINGS_PATH.exec(path) ?? [];
  if (model === undefined) return undefined;
  return { model: decoded(model), isBatch: method === 'batchEmbedContents' };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Google rejects names that it does not know. */
const MEMBERS: ReadonlySet<string> = new Set([
  'contents',
  'systemInstruction',
  'tools',
  'toolConfig',
  'generationConfig',
  'safetySettings',
  'cachedContent',
  'serviceTier',
]);
const CONFIG: ReadonlySet<string> = new Set([
  'temperature',
  'topP',
  'topK',
  'candidateCount',
  'maxOutputTokens',
  'stopSequences',
  'seed',
  'responseLogprobs',
  'logprobs',
  'responseMimeType',
  'responseSchema',
  'responseJsonSchema',
  'responseModalities',
  'thinkingConfig',
  'mediaResolution',
  'presencePenalty',
  'frequencyPenalty',
]);

/** Reads the relevant fields of a request, and rejects what the real API rejects, with its messages. */
export function readAsked(body: unknown, path: string): Asked | ProviderError {
  if (!isRecord(body)) return invalid('Invalid JSON payload received.');
  const config = isRecord(body['generationConfig']) ? body['generationConfig'] : {};
  const contents = records(body['contents']);
  const problem =
    unknownName(body, MEMBERS, '') ??
    unknownName(config, CONFIG, " at 'generation_config'") ??
    contentsProblem(contents);
  if (problem !== undefined) return invalid(problem);
  const system = isRecord(body['systemInstruction']) ? body['systemInstruction'] : {};
  const text = [system, ...contents].map(({ parts }) => textOf(asTexts(parts))).join('\n');
  const last = contents.at(-1);
  const parts = records(last?.['parts']);
  const max = config['maxOutputTokens'];
  const { model = '', stream = false } = pathParts(path) ?? {};
  return {
    model,
    stream,
    includeUsage: true,
    n: typeof config['candidateCount'] === 'number' ? config['candidateCount'] : 1,
    maxTokens: typeof max === 'number' ? max : undefined,
    logprobs: config['responseLogprobs'] === true,
    tools: toolsOf(body),
    hasToolResult: parts.some((part) => 'functionResponse' in part),
    output: outputOf(config),
    text,
    trailingAssistant: last?.['role'] === 'model' ? textOf(asTexts(parts)) : undefined,
    promptTokens: estimatedTokens(text, contents.length),
    user: '',
  };
}

/** Gemini's parts of text have no type. */
const asTexts = (parts: unknown): JsonObject[] =>
  records(parts).map((part) => ({ ...part, type: 'text' }));

function invalid(message: string): ProviderError {
  return { ...geminiError('invalid_request'), message };
}

function unknownName(
  object: JsonObject,
  known: ReadonlySet<string>,
  place: string,
): string | undefined {
  const name = Object.keys(object).find((one) => !known.has(one));
  if (name === undefined) return undefined;
  return `Invalid JSON payload received. Unknown name "${name}"${place}: Cannot find field.`;
}

function contentsProblem(contents: readonly JsonObject[]): string | undefined {
  if (contents.length === 0) {
    return '* GenerateContentRequest.contents: contents is not specified\n';
  }
  const wrong = contents.find(({ role = 'user' }) => role !== 'user' && role !== 'model');
  if (wrong !== undefined) return 'Please use a valid role: user, model.';
  const empty = contents.findIndex(({ parts }) => records(parts).length === 0);
  if (empty >= 0) {
    return `* GenerateContentRequest.contents[${empty}].parts: contents.parts must not be empty.\n`;
  }
  const unequal = contents.some((content, index) => {
    const calls = count(content, 'functionCall');
    const next = contents[index + 1];
    return calls > 0 && next !== undefined && count(next, 'functionResponse') !== calls;
  });
  return unequal
    ? 'Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.'
    : undefined;
}

const count = ({ parts }: JsonObject, member: string): number =>
  records(parts).filter((part) => member in part).length;

function toolsOf(body: JsonObject): Tool[] {
  const config = isRecord(body['toolConfig']) ? body['toolConfig'] : {};
  const { mode, allowedFunctionNames: allowed } = isRecord(config['functionCallingConfig'])
    ? config['functionCallingConfig']
    : {};
  if (mode === 'NONE') return [];
  const tools = records(body['tools']).flatMap(({ functionDeclarations }) =>
    records(functionDeclarations).flatMap(({ name, parametersJsonSchema, parameters }) =>
      typeof name === 'string' ? [{ name, schema: parametersJsonSchema ?? parameters }] : [],
    ),
  );
  return Array.isArray(allowed) ? tools.filter(({ name }) => allowed.includes(name)) : tools;
}

function outputOf(config: JsonObject): Output {
  if (config['responseMimeType'] !== 'application/json') return { kind: 'text' };
  const schema = config['responseJsonSchema'] ?? config['responseSchema'];
  return schema === undefined ? { kind: 'json' } : { kind: 'schema', schema };
}
