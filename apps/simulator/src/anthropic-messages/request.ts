import type { IncomingHttpHeaders } from 'node:http';
import type { ProviderError } from '../errors.ts';
import type { JsonObject } from '../request-json.ts';
import { estimatedTokens, isRecord, records, textOf } from '../request-json.ts';
import type { Asked, Output, Tool } from '../steps.ts';
import { anthropicError } from './errors.ts';

const NEWEST = '2026-10-21';
const VERSIONS = new Set(['2023-01-01', '2023-06-01', NEWEST]);
const ROLES: ReadonlySet<unknown> = new Set(['user', 'assistant', 'system']);
/** The newest models reject these, even with their default values. */
const REMOVED = ['temperature', 'top_p', 'top_k'];

/** Reads the relevant fields of a request, and rejects what the real API rejects, with its messages. */
export function readAsked(body: unknown, headers: IncomingHttpHeaders): Asked | ProviderError {
  if (!isRecord(body)) return invalid('Input should be a valid dictionary');
  const messages = records(body['messages']);
  const problem =
    versionProblem(body, headers) ?? bodyProblem(body) ?? messagesProblem(body, messages);
  if (problem !== undefined) return invalid(problem);
  const text = [body['system'], ...messages.map(({ content }) => content)].map(textOf).join('\n');
  const last = messages.at(-1);
  const { metadata } = body;
  const user = isRecord(metadata) ? metadata['user_id'] : undefined;
  return {
    model: String(body['model']),
    stream: body['stream'] === true,
    includeUsage: true,
    n: 1,
    maxTokens: Number(body['max_tokens']),
    logprobs: false,
    tools: toolsOf(body),
    hasToolResult: records(last?.['content']).some(({ type }) => type === 'tool_result'),
    output: outputOf(body),
    text,
    trailingAssistant: last?.['role'] === 'assistant' ? textOf(last['content']) : undefined,
    promptTokens: estimatedTokens(text, messages.length),
    user: typeof user === 'string' ? user : '',
  };
}

function invalid(message: string): ProviderError {
  return { ...anthropicError('invalid_request'), message };
}

function versionProblem(body: JsonObject, headers: IncomingHttpHeaders): string | undefined {
  const version = headers['anthropic-version'];
  if (version === undefined) return 'anthropic-version: header is required';
  if (!VERSIONS.has(String(version))) {
    return `anthropic-version: "${String(version)}" is not a valid version`;
  }
  const removed = version === NEWEST ? REMOVED.find((name) => name in body) : undefined;
  return removed === undefined ? undefined : `${removed}: Extra inputs are not permitted`;
}

function bodyProblem(body: JsonObject): string | undefined {
  const { model, max_tokens: maxTokens } = body;
  if (model === undefined) return 'model: Field required';
  if (typeof model !== 'string') return 'model: Input should be a valid string';
  if (maxTokens === undefined) return 'max_tokens: Field required';
  if (typeof maxTokens !== 'number' || !Number.isInteger(maxTokens)) {
    return 'max_tokens: Input should be a valid integer';
  }
  return maxTokens < 1 ? 'max_tokens: Input should be greater than or equal to 1' : undefined;
}

function messagesProblem(body: JsonObject, messages: readonly JsonObject[]): string | undefined {
  if (body['messages'] === undefined) return 'messages: Field required';
  if (messages.length === 0) return 'messages: at least one message is required';
  const stranger = messages.find(({ role }) => !ROLES.has(role));
  if (stranger !== undefined) {
    return `messages: Unexpected role "${String(stranger['role'])}"`;
  }
  const last = messages.at(-1);
  // So a client that continues an answer that broke off after a space has to strip that space.
  return last?.['role'] === 'assistant' && /\s$/u.test(textOf(last['content']))
    ? 'messages: final assistant content cannot end with trailing whitespace'
    : undefined;
}

function toolsOf(body: JsonObject): Tool[] {
  const choice = isRecord(body['tool_choice']) ? body['tool_choice'] : {};
  if (choice['type'] === 'none') return [];
  const tools = records(body['tools']).flatMap(({ name, input_schema: schema }) =>
    typeof name === 'string' ? [{ name, schema }] : [],
  );
  const { name } = choice;
  if (choice['type'] !== 'tool' || typeof name !== 'string') return tools;
  return [tools.find((tool) => tool.name === name) ?? { name, schema: undefined }];
}

/** `output_config.format`, or `output_format` as in its beta. */
function outputOf(body: JsonObject): Output {
  const config = body['output_config'];
  const format = isRecord(config) ? config['format'] : body['output_format'];
  return isRecord(format) && format['type'] === 'json_schema'
    ? { kind: 'schema', schema: format['schema'] }
    : { kind: 'text' };
}
