import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { InvalidRequest } from '../../client-port.ts';
import type { InnerRequest } from '../../client-port.ts';
import { Inexpressible } from '../../inexpressible.ts';
import { innerMessages } from './messages.ts';
import { innerChoice, innerTools } from './tools.ts';

/** Members that refer to what was said before. An ingress resolves a `previous_response_id` before (api/responses/). */
const references = {
  previous_response_id: 'it was not replaced by the conversation.',
  conversation: 'this server does not keep conversations.',
} as const;

/**
 * The body of a Responses request in the inner form. What is dropped, because it changes no answer or because no other
 * provider has it: `reasoning.summary`, `store`, `metadata`, `service_tier`, prompt caching, `truncation`, `max_tool_calls`,
 * records of the provider's own tools in the input. A provider of the same format gets the client's own body instead.
 * @throws {InvalidRequest}
 */
export function toInner(body: JsonObject): InnerRequest {
  const lost = new Inexpressible('the Responses API');
  const { model, input, instructions, stream, background } = body;
  if (typeof model !== 'string' || model === '') throw missing('model', model);
  if (typeof input !== 'string' && !Array.isArray(input)) throw missing('input', input);
  if (stream !== undefined && stream !== null && typeof stream !== 'boolean') {
    throw new InvalidRequest('stream', "'stream' must be a boolean.");
  }
  if (background !== undefined && background !== null && typeof background !== 'boolean') {
    throw new InvalidRequest('background', "'background' must be a boolean.");
  }
  refuseReferences(body);
  if (body['prompt'] !== undefined && body['prompt'] !== null) lost.add('prompt', "'prompt'");
  const tools = innerTools(body['tools'], lost);
  const messages = innerMessages(instructions, input, lost);
  if (messages.length === 0) {
    throw new InvalidRequest('input', "'input' must have at least one message.");
  }
  const inner = {
    model,
    messages,
    ...(stream === true && { stream: true }),
    ...(tools.length > 0 && { tools, ...innerChoice(body, lost) }),
    ...textOptions(body['text']),
    ...numbers(body),
    ...reasoning(body['reasoning']),
    ...logprobs(body),
    ...user(body),
  };
  return { body: JSON.stringify(inner), inexpressible: lost.first };
}

function missing(param: string, found: unknown): InvalidRequest {
  const problem =
    found === undefined || found === '' ? `Missing required parameter: '${param}'.` : '';
  return new InvalidRequest(param, problem || `'${param}' has a value of a wrong type.`);
}

function refuseReferences(body: JsonObject): void {
  for (const [name, reason] of Object.entries(references)) {
    if (body[name] === undefined || body[name] === null) continue;
    throw new InvalidRequest(name, `'${name}' is not supported: ${reason}`);
  }
}

function numbers(body: JsonObject): JsonObject {
  const { max_output_tokens: limit, temperature, top_p: topP } = body;
  for (const [name, value] of Object.entries({
    max_output_tokens: limit,
    temperature,
    top_p: topP,
  })) {
    if (value !== undefined && value !== null && typeof value !== 'number') {
      throw new InvalidRequest(name, `'${name}' must be a number.`);
    }
  }
  return {
    ...(typeof limit === 'number' && { max_completion_tokens: limit }),
    ...(typeof temperature === 'number' && { temperature }),
    ...(typeof topP === 'number' && { top_p: topP }),
  };
}

function textOptions(text: unknown): JsonObject {
  const { format, verbosity } = isJsonObject(text) ? text : {};
  const { type, ...described } = isJsonObject(format) ? format : {};
  return {
    ...(type === 'json_schema' && { response_format: { type, json_schema: described } }),
    ...(type === 'json_object' && { response_format: { type } }),
    ...(typeof verbosity === 'string' && { verbosity }),
  };
}

function reasoning(value: unknown): JsonObject {
  const effort = isJsonObject(value) ? value['effort'] : undefined;
  return typeof effort === 'string' ? { reasoning_effort: effort } : {};
}

function logprobs({ include, top_logprobs: top }: JsonObject): JsonObject {
  if (!itemsOf(include).includes('message.output_text.logprobs')) return {};
  return { logprobs: true, ...(typeof top === 'number' && { top_logprobs: top }) };
}

function user({ user: own, safety_identifier: other }: JsonObject): JsonObject {
  const id = [own, other].find((one) => typeof one === 'string' && one !== '');
  return id === undefined ? {} : { user: id };
}
