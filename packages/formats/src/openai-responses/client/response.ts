import type { OpenAiError } from '@millrace/shared/domain/entry';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { reasoningBeside } from '@millrace/shared/domain/tokens';
import type { AnswerFacts } from '../../client-port.ts';

/** Members of a request that its response repeats, with their values if the request has none. */
const echoed: JsonObject = {
  background: false,
  frequency_penalty: 0,
  instructions: null,
  max_output_tokens: null,
  max_tool_calls: null,
  metadata: {},
  parallel_tool_calls: true,
  presence_penalty: 0,
  previous_response_id: null,
  prompt_cache_key: null,
  reasoning: { effort: null, summary: null },
  safety_identifier: null,
  service_tier: 'auto',
  store: true,
  temperature: 1,
  text: { format: { type: 'text' } },
  tool_choice: 'auto',
  tools: [],
  top_logprobs: 0,
  top_p: 1,
  truncation: 'disabled',
  user: null,
};

/** Characters of what a response repeats, as JSON; of a larger request it leaves out the instructions and the tools. */
const maxEcho = 64 * 1024;

/** What the answer needs of its request: the members that a response repeats, and the names of its tools' namespaces. */
export function echoOf(body: JsonObject): JsonObject {
  const names = Object.keys(echoed).filter(
    (name) => body[name] !== undefined && body[name] !== null,
  );
  const own = Object.fromEntries(names.map((name) => [name, body[name]]));
  const { instructions: _, tools: __, ...short } = own;
  const namespaces = itemsOf(body['tools']).flatMap((tool) =>
    isJsonObject(tool) && tool['type'] === 'namespace' ? [tool['name']] : [],
  );
  return {
    ...(JSON.stringify(own).length <= maxEcho ? own : short),
    ...(namespaces.length > 0 && { [namespacesMember]: namespaces }),
  };
}

const namespacesMember = 'namespaces';

/** The namespaces of the request's tools. */
export const namespacesOf = ({ echo }: AnswerFacts): readonly unknown[] =>
  isJsonObject(echo) ? itemsOf(echo[namespacesMember]) : [];

/** Members of a provider's own response that are this server's, or its client's. */
export function ownMembers({ id, echo }: AnswerFacts): JsonObject {
  const {
    background = false,
    store = true,
    previous_response_id: previous,
  }: JsonObject = isJsonObject(echo) ? echo : {};
  return {
    id: responseId(id),
    background,
    store,
    ...(previous !== undefined && { previous_response_id: previous }),
  };
}

/** OpenAI's schema wants the members of a function that its request left out. */
const shownTools = (tools: unknown): unknown[] =>
  itemsOf(tools).map((tool) =>
    isJsonObject(tool) && tool['type'] === 'function'
      ? { description: null, parameters: null, strict: null, ...tool }
      : tool,
  );

/** What a response repeats of its request, and a log leaves out of a provider's events. */
export function requestMembers({ echo }: AnswerFacts): JsonObject {
  const { instructions = null, tools }: JsonObject = isJsonObject(echo) ? echo : {};
  return { instructions, tools: shownTools(tools) };
}

/** The id of a response, from that of its request. */
export const responseId = (requestId: string): string => `resp_${requestId.replace(/^req_/, '')}`;

/** The id of the request of a response; undefined if it is no id of a response. */
export const requestIdOf = (id: string): string | undefined =>
  id.startsWith('resp_') ? id.replace('resp_', 'req_') : undefined;

export type ResponseState = {
  status: 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled';
  model?: unknown;
  reason?: string | undefined;
  /** Milliseconds since the epoch. */
  completedAt?: number | undefined;
  error?: OpenAiError;
  output?: readonly JsonObject[];
  usage?: JsonObject | undefined;
};

/** A response object, complete or as it begins. */
export function responseOf(answer: AnswerFacts, state: ResponseState): JsonObject {
  const { status, model, reason, completedAt, error, output = [], usage } = state;
  const isCompleted = status === 'completed' && completedAt !== undefined;
  const { [namespacesMember]: _, ...echo } = isJsonObject(answer.echo) ? answer.echo : {};
  return {
    id: responseId(answer.id),
    object: 'response',
    created_at: Math.floor(answer.createdAt / 1000),
    completed_at: isCompleted ? Math.floor(completedAt / 1000) : null,
    status,
    error: error ? { code: error.code ?? 'server_error', message: error.message } : null,
    incomplete_details: reason === undefined ? null : { reason },
    ...echoed,
    ...echo,
    tools: shownTools(echo['tools']),
    model: typeof model === 'string' && model !== '' ? model : answer.model,
    output,
    usage: usage ?? null,
  };
}

export type End = Pick<ResponseState, 'status' | 'reason'>;

/** The status with which an answer ends by its finish_reason. */
export function endOf(finishReason: string | undefined): End {
  if (finishReason === 'length') return { status: 'incomplete', reason: 'max_output_tokens' };
  if (finishReason === 'content_filter') return { status: 'incomplete', reason: 'content_filter' };
  return { status: 'completed' };
}

/** The inner form's usage in the form of the Responses API; undefined if there is none. */
export function fromInnerUsage(usage: JsonObject | undefined): JsonObject | undefined {
  if (!usage) return undefined;
  const {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: total,
    prompt_tokens_details: prompt,
    completion_tokens_details: completion,
    ...others
  } = usage;
  const inputTokens = typeof input === 'number' ? input : 0;
  const outputTokens = (typeof output === 'number' ? output : 0) + reasoningBeside(usage);
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0, ...Object(prompt) },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: 0, ...Object(completion) },
    total_tokens: typeof total === 'number' ? total : inputTokens + outputTokens,
    ...others,
  };
}
