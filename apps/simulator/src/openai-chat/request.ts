import type { ProviderError } from '../errors.ts';
import { openAiError } from '../errors.ts';
import type { JsonObject } from '../request-json.ts';
import { estimatedTokens, isRecord, records, textOf } from '../request-json.ts';
import type { Asked, Output, Tool } from '../steps.ts';

function wholeNumber(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : undefined;
}

function toolsOf(body: JsonObject): Tool[] {
  const choice = body['tool_choice'];
  if (choice === 'none') return [];
  const tools = records(body['tools']).flatMap(({ function: tool }) =>
    isRecord(tool) && typeof tool['name'] === 'string'
      ? [{ name: tool['name'], schema: tool['parameters'] }]
      : [],
  );
  const chosen = isRecord(choice) && isRecord(choice['function']) ? choice['function'] : undefined;
  const { name } = chosen ?? {};
  if (typeof name !== 'string') return tools;
  return [tools.find((tool) => tool.name === name) ?? { name, schema: undefined }];
}

function outputOf(body: JsonObject): Output {
  const format = body['response_format'];
  if (!isRecord(format)) return { kind: 'text' };
  if (format['type'] === 'json_object') return { kind: 'json' };
  const described = format['json_schema'];
  return format['type'] === 'json_schema' && isRecord(described)
    ? { kind: 'schema', schema: described['schema'] }
    : { kind: 'text' };
}

/** Reads the relevant fields of a request and ignores all others, as providers do. */
export function readAsked(body: unknown): Asked | ProviderError {
  const invalid = (message: string, param: string): ProviderError => ({
    ...openAiError('invalid_request'),
    message,
    param,
  });
  if (!isRecord(body)) return invalid('The body must be a JSON object.', 'body');
  const model = body['model'];
  if (typeof model !== 'string') return invalid('you must provide a model parameter', 'model');
  const messages = records(body['messages']);
  if (messages.length === 0) return invalid("'messages' must be a non-empty array.", 'messages');
  const options = body['stream_options'];
  const last = messages.at(-1);
  const text = messages.map(({ content }) => textOf(content)).join('\n');
  return {
    model,
    stream: body['stream'] === true,
    includeUsage: isRecord(options) && options['include_usage'] === true,
    n: Math.min(wholeNumber(body['n']) ?? 1, 16) || 1,
    maxTokens: wholeNumber(body['max_completion_tokens']) ?? wholeNumber(body['max_tokens']),
    logprobs: body['logprobs'] === true,
    tools: toolsOf(body),
    hasToolResult: last?.['role'] === 'tool' || last?.['role'] === 'function',
    output: outputOf(body),
    text,
    trailingAssistant: last?.['role'] === 'assistant' ? textOf(last['content']) : undefined,
    promptTokens: estimatedTokens(text, messages.length),
    user: typeof body['user'] === 'string' ? body['user'] : '',
  };
}
