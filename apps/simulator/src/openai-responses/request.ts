import type { ProviderError } from '../errors.ts';
import { openAiError } from '../errors.ts';
import type { JsonObject } from '../request-json.ts';
import { estimatedTokens, isRecord, records, textOf } from '../request-json.ts';
import type { Asked, Output, Tool } from '../steps.ts';

/** Members of a chat completion request that the real API refuses, with the name of the new one where it has one. */
const REPLACED: Readonly<Record<string, string | undefined>> = {
  messages: 'input',
  max_tokens: 'max_output_tokens',
  max_completion_tokens: 'max_output_tokens',
  response_format: 'text.format',
  reasoning_effort: 'reasoning.effort',
  verbosity: 'text.verbosity',
  n: undefined,
  stop: undefined,
  seed: undefined,
  logprobs: undefined,
  logit_bias: undefined,
  functions: undefined,
};

const LEAST_OUTPUT = 16;
const LONGEST_CALL_ID = 64;
const OUTPUTS: ReadonlySet<unknown> = new Set(['function_call_output', 'custom_tool_call_output']);

/** Reads the relevant fields of a request, and rejects what the real API rejects. */
export function readAsked(body: unknown): Asked | ProviderError {
  if (!isRecord(body)) return invalid('The body must be a JSON object.', 'body', null);
  const items = itemsOf(body['input']);
  const problem = bodyProblem(body) ?? itemsProblem(items) ?? toolsProblem(body);
  if (problem !== undefined) return problem;
  const last = items.at(-1);
  const all = [body['instructions'], ...items.map(({ content, output }) => content ?? output)];
  const text = all.map(textOf).join('\n');
  return {
    model: String(body['model']),
    stream: body['stream'] === true,
    includeUsage: true,
    n: 1,
    maxTokens:
      typeof body['max_output_tokens'] === 'number' ? body['max_output_tokens'] : undefined,
    logprobs: false,
    tools: toolsOf(body),
    hasToolResult: OUTPUTS.has(last?.['type']),
    output: outputOf(body),
    text,
    trailingAssistant: last?.['role'] === 'assistant' ? textOf(last['content']) : undefined,
    promptTokens: estimatedTokens(text, items.length),
    user: [body['user'], body['safety_identifier']].find((one) => typeof one === 'string') ?? '',
  };
}

/** A text is one message of the user. */
const itemsOf = (input: unknown): JsonObject[] =>
  typeof input === 'string' ? [{ role: 'user', content: input }] : records(input);

function invalid(message: string, param: string, code: string | null): ProviderError {
  return { ...openAiError('invalid_request'), message, param, code };
}

const missing = (param: string): ProviderError =>
  invalid(`Missing required parameter: '${param}'.`, param, 'missing_required_parameter');

function bodyProblem(body: JsonObject): ProviderError | undefined {
  const { model, max_output_tokens: limit, stream_options: options } = body;
  if (typeof model !== 'string') return missing('model');
  const old = Object.keys(REPLACED).find((name) => name in body);
  if (old !== undefined) {
    const now = REPLACED[old];
    const advice = now === undefined ? '' : ` In the Responses API, this parameter is '${now}'.`;
    return invalid(`Unsupported parameter: '${old}'.${advice}`, old, 'unsupported_parameter');
  }
  if (isRecord(options) && 'include_usage' in options) {
    const param = 'stream_options.include_usage';
    return invalid(`Unknown parameter: '${param}'.`, param, 'unknown_parameter');
  }
  if (typeof limit === 'number' && limit < LEAST_OUTPUT) {
    const message = `Invalid 'max_output_tokens': integer below minimum value. Expected a value >= ${LEAST_OUTPUT}, but got ${limit} instead.`;
    return invalid(message, 'max_output_tokens', 'integer_below_min_value');
  }
  return body['input'] === undefined ? missing('input') : undefined;
}

function itemsProblem(items: readonly JsonObject[]): ProviderError | undefined {
  const calls = new Set<unknown>();
  for (const [index, item] of items.entries()) {
    const { type = 'message', call_id: id } = item;
    if (type === 'message' && item['role'] === undefined) return missing(`input[${index}].role`);
    if (typeof id !== 'string') continue;
    if (id.length > LONGEST_CALL_ID) {
      const param = `input[${index}].call_id`;
      return invalid(`Invalid '${param}': string too long.`, param, 'string_above_max_length');
    }
    if (!OUTPUTS.has(type)) calls.add(id);
    else if (!calls.has(id)) {
      const message = `No tool call found for function call output with call_id ${id}.`;
      return invalid(message, 'input', null);
    }
  }
  return undefined;
}

function toolsProblem(body: JsonObject): ProviderError | undefined {
  const tools = records(body['tools']);
  const nameless = tools.findIndex(({ type, name }) => type === 'function' && name === undefined);
  return nameless < 0 ? undefined : missing(`tools[${nameless}].name`);
}

function toolsOf(body: JsonObject): Tool[] {
  const choice = body['tool_choice'];
  if (choice === 'none') return [];
  const tools = records(body['tools']).flatMap(({ type, name, parameters }) =>
    type === 'function' && typeof name === 'string' ? [{ name, schema: parameters }] : [],
  );
  const name = isRecord(choice) && choice['type'] === 'function' ? choice['name'] : undefined;
  if (typeof name !== 'string') return tools;
  return [tools.find((tool) => tool.name === name) ?? { name, schema: undefined }];
}

function outputOf(body: JsonObject): Output {
  const { text } = body;
  const format = isRecord(text) ? text['format'] : undefined;
  if (!isRecord(format)) return { kind: 'text' };
  if (format['type'] === 'json_object') return { kind: 'json' };
  return format['type'] === 'json_schema'
    ? { kind: 'schema', schema: format['schema'] }
    : { kind: 'text' };
}
