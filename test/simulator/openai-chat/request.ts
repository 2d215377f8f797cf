import type { ProviderError } from '../errors.ts';
import { providerError } from '../errors.ts';
import type { Asked } from '../steps.ts';

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function records(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

function wholeNumber(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : undefined;
}

/** The text of one message: a string, or its parts of type text. */
function textOf(message: Record<string, unknown> | undefined): string {
  const content = message?.['content'];
  if (typeof content === 'string') return content;
  return records(content)
    .map((part) => (typeof part['text'] === 'string' ? part['text'] : ''))
    .join('');
}

function toolNames(body: Record<string, unknown>): string[] {
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
    ...providerError('invalid_request'),
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
  const text = messages.map(textOf).join('\n');
  return {
    model,
    stream: body['stream'] === true,
    includeUsage: isRecord(options) && options['include_usage'] === true,
    n: Math.min(wholeNumber(body['n']) ?? 1, 16) || 1,
    maxTokens: wholeNumber(body['max_completion_tokens']) ?? wholeNumber(body['max_tokens']),
    logprobs: body['logprobs'] === true,
    tools: toolNames(body),
    text,
    trailingAssistant: last?.['role'] === 'assistant' ? textOf(last) : undefined,
    // Four characters to a token and a few for each message: the usual rule of thumb.
    promptTokens: Math.ceil(text.length / 4) + 3 * messages.length,
    user: typeof body['user'] === 'string' ? body['user'] : '',
  };
}
