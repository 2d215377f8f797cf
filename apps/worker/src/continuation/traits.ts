import { isJsonObject } from '@millrace/shared/domain/json';

/** What of a request decides how its answer may be continued. */
export type RequestTraits = {
  /** It offers tools: a continuation may answer in prose where a call was due. */
  tools: boolean;
  /** The request asks the model to think before it answers: such a model takes no prefill. */
  thinking: boolean;
  /** The answer is to be JSON: half of one cannot be spoken of. */
  json: boolean;
  /** Asked again, a model is likely to say the same: temperature 0, or a seed. */
  repeats: boolean;
  /** `n`: choices asked for. */
  choices: number;
  /** The conversation ends with an assistant's turn already: there is no place for another. */
  endsWithAssistant: boolean;
};

/** From the request body, which was validated when it came in. */
export function readTraits(body: string): RequestTraits {
  const request: unknown = JSON.parse(body);
  const asked = isJsonObject(request) ? request : {};
  const { tools, functions, response_format, temperature, seed, n, messages } = asked;
  const format = isJsonObject(response_format) ? response_format['type'] : undefined;
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined;
  return {
    tools: hasItems(tools) || hasItems(functions),
    thinking: asksForThinking(asked),
    json: format !== undefined && format !== 'text',
    repeats: temperature === 0 || typeof seed === 'number',
    choices: typeof n === 'number' && Number.isInteger(n) && n > 0 ? n : 1,
    endsWithAssistant: isJsonObject(last) && last['role'] === 'assistant',
  };
}

/** By OpenAI's `reasoning_effort`, OpenRouter's `reasoning` or Anthropic's `thinking`. */
function asksForThinking({
  reasoning_effort: effort,
  reasoning,
  thinking,
}: Record<string, unknown>): boolean {
  if (typeof effort === 'string') return effort !== 'none';
  if (isJsonObject(thinking)) return thinking['type'] !== 'disabled';
  return (
    isJsonObject(reasoning) && reasoning['enabled'] !== false && reasoning['effort'] !== 'none'
  );
}

const hasItems = (value: unknown): boolean => Array.isArray(value) && value.length > 0;
