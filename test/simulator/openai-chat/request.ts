import type { ProviderError } from '../errors.ts';
import { openAiError } from '../errors.ts';
import type { JsonObject } from '../request-json.ts';
import { estimatedTokens, isRecord, records, textOf } from '../request-json.ts';
import type { Asked } from '../steps.ts';

function wholeNumber(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : undefined;
}

function toolNames(body: JsonObject): string[] {
  const choice = body['tool_choice'];
  if (choice === 'none') return [];
  const names = [...(isRecord(choice) ? [choice] : []), ...records(body['tools'])].flatMap(
    ({ function: tool }) =>
      isRecord(tool) && typeof tool['name'] === 'string' ? [tool['name']] : [],
  );
  return isRecord(choice) ? names.slice(0, 1) : names;
}

/** Reads what matters of a request; everything else in it is left alone, as providers do. */
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
    tools: toolNames(body),
    text,
    trailingAssistant: last?.['role'] === 'assistant' ? textOf(last['content']) : undefined,
    promptTokens: estimatedTokens(text, messages.length),
    user: typeof body['user'] === 'string' ? body['user'] : '',
  };
}
