import { createHash } from 'node:crypto';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { InvalidRequest } from '../../client-port.ts';
import type { InnerRequest } from '../../client-port.ts';
import { innerMessages } from './messages.ts';
import { innerChoice, innerTools } from './tools.ts';
import { Inexpressible } from '../../inexpressible.ts';

/** Characters of OpenAI's `user`. */
const maxUserLength = 64;

/**
 * The body of a Messages request in the inner form. What is dropped, because it changes no answer or because no other
 * provider has it: `cache_control`, `thinking` (unless it has an effort), `top_k`, `service_tier`, `context_management`,
 * thoughts and server tools' blocks of earlier answers. A provider of Anthropic's format gets the client's own body instead.
 * @throws {InvalidRequest}
 */
export function toInner(body: JsonObject): InnerRequest {
  const lost = new Inexpressible("Anthropic's API");
  const { model, max_tokens: maxTokens, messages, system, stream } = body;
  if (model === undefined) throw new InvalidRequest('model', 'model: Field required');
  if (typeof model !== 'string' || model === '') {
    throw new InvalidRequest('model', 'model: Input should be a valid string');
  }
  if (maxTokens === undefined) throw new InvalidRequest('max_tokens', 'max_tokens: Field required');
  if (!Number.isSafeInteger(maxTokens) || Number(maxTokens) < 0) {
    throw new InvalidRequest(
      'max_tokens',
      'max_tokens: Input should be a valid integer, 0 or more',
    );
  }
  if (maxTokens === 0) lost.add('max_tokens', 'answers of no tokens, which fill its cache');
  if (messages === undefined) throw new InvalidRequest('messages', 'messages: Field required');
  if (!Array.isArray(messages)) {
    throw new InvalidRequest('messages', 'messages: Input should be a valid array');
  }
  if (messages.length === 0) {
    throw new InvalidRequest('messages', 'messages: at least one message is required');
  }
  if (stream !== undefined && stream !== null && typeof stream !== 'boolean') {
    throw new InvalidRequest('stream', 'stream: Input should be a valid boolean');
  }
  lost.members(body, ['container', 'mcp_servers']);
  const tools = innerTools(body['tools'], lost);
  const choice = innerChoice(body['tool_choice']);
  const format = formatOf(body);
  const effort = effortOf(body);
  const inner = {
    model,
    max_tokens: maxTokens,
    messages: innerMessages(system, messages, lost),
    ...(stream === true && { stream: true }),
    ...(tools.length > 0 && { tools, ...choice }),
    ...(format && { response_format: format }),
    ...(effort !== undefined && { reasoning_effort: effort }),
    ...sampling(body),
    ...user(body['metadata']),
  };
  return { body: JSON.stringify(inner), inexpressible: lost.first };
}

function sampling(body: JsonObject): JsonObject {
  const { temperature, top_p: topP, stop_sequences: stop } = body;
  for (const [name, value] of Object.entries({ temperature, top_p: topP })) {
    if (value !== undefined && value !== null && typeof value !== 'number') {
      throw new InvalidRequest(name, `${name}: Input should be a valid number`);
    }
  }
  const sequences = itemsOf(stop);
  return {
    ...(typeof temperature === 'number' && { temperature }),
    ...(typeof topP === 'number' && { top_p: topP }),
    ...(sequences.length > 0 && { stop: sequences }),
  };
}

function user(metadata: unknown): JsonObject {
  const id = isJsonObject(metadata) ? metadata['user_id'] : undefined;
  if (typeof id !== 'string' || id === '') return {};
  const isShort = id.length <= maxUserLength;
  return { user: isShort ? id : createHash('sha256').update(id).digest('hex') };
}

/** The JSON schema of the answer: `output_config.format`, in its first version `output_format`. */
function formatOf({ output_config: config, output_format: older }: JsonObject) {
  const format = isJsonObject(config) && config['format'] ? config['format'] : older;
  if (!isJsonObject(format) || format['type'] !== 'json_schema') return undefined;
  const { schema } = format;
  return { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } };
}

/** A budget of tokens for thoughts has no counterpart: the target then thinks as much as it does by default. */
function effortOf({ output_config: config }: JsonObject): string | undefined {
  const effort = isJsonObject(config) ? config['effort'] : undefined;
  if (typeof effort !== 'string') return undefined;
  // OpenAI has no effort above `xhigh`.
  return effort === 'max' ? 'xhigh' : effort;
}
