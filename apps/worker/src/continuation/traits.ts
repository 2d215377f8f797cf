import { isJsonObject } from '@millrace/shared/domain/json';

/** The traits of a request that decide how its answer may be continued. */
export type RequestTraits = {
  /** It offers tools: a continuation may answer in prose instead of a tool call. */
  tools: boolean;
  /** The request asks for thinking: models in this mode accept no prefill. */
  thinking: boolean;
  /** The answer is to be JSON: a model cannot be asked to continue half of a document. */
  json: boolean;
  /** A repeated request is likely to give the same answer: temperature 0, or a seed. */
  repeats: boolean;
  /** `n`: choices asked for. */
  choices: number;
  /** The conversation already ends with an assistant message, so none can be appended. */
  endsWithAssistant: boolean;
};

/** `body` was validated by the ingress. */
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
