import { isJsonObject, shownText } from '@millrace/shared/domain/json';
import type { ModelTraits } from './models.ts';
import type { Block } from './parts.ts';
import { invalid, RefusedError } from '../refused.ts';
import { toStrictSchema } from './schema.ts';

type Tool = Record<string, unknown> & { name: string };

export type Tools = {
  /** `tools` and `tool_choice`, if there are any. */
  members: Record<string, unknown>;
  /** The model must call a tool. */
  forced: boolean;
};

/** `called`: the names of the functions called in the conversation. */
export function translateTools(
  request: Record<string, unknown>,
  traits: ModelTraits,
  called: ReadonlySet<string>,
): Tools {
  const asked = request['tools'] ?? [];
  if (!Array.isArray(asked)) throw invalid('tools', 'must be an array');
  const tools = (asked as unknown[]).map((tool, index) =>
    translateTool(tool, `tools[${index}]`, traits),
  );
  if (tools.length === 0) return { members: formerTools(called), forced: false };
  const { choice, allowed } = translateChoice(request['tool_choice']);
  const forced = choice.type === 'any' || choice.type === 'tool';
  if (forced && !traits.forcedTools) {
    throw new RefusedError('tool_choice', 'The model cannot be made to call a tool.');
  }
  if (request['parallel_tool_calls'] === false && choice.type !== 'none') {
    choice['disable_parallel_tool_use'] = true;
  }
  const offered = allowed ? tools.filter(({ name }) => allowed.has(name)) : tools;
  // `auto` is the default and need not be sent.
  const said = Object.keys(choice).length > 1 || choice.type !== 'auto';
  return { members: { tools: offered, ...(said && { tool_choice: choice }) }, forced };
}

/**
 * OpenAI accepts a conversation with calls and no tools, and answers without calling any. Anthropic requires
 * the tools of the calls: they are listed, and none may be called.
 */
function formerTools(called: ReadonlySet<string>): Record<string, unknown> {
  if (called.size === 0) return {};
  const tools = [...called].map((name) => ({ name, input_schema: { type: 'object' } }));
  return { tools, tool_choice: { type: 'none' } };
}

function translateTool(tool: unknown, param: string, traits: ModelTraits): Tool {
  if (!isJsonObject(tool)) throw invalid(param, 'must be an object');
  const { type, function: described } = tool;
  // The types of Anthropic's own tools end in a date and need no translation.
  if (typeof type === 'string' && /_\d{8}$/.test(type)) {
    return { ...tool, name: shownText(tool['name']) };
  }
  if (type !== undefined && type !== 'function') {
    throw new RefusedError(
      `${param}.type`,
      `Anthropic's API has no tools of type ${JSON.stringify(type)}.`,
    );
  }
  if (!isJsonObject(described) || typeof described['name'] !== 'string') {
    throw invalid(`${param}.function.name`, 'must be a text');
  }
  const translated: Tool = { name: described['name'], ...inputSchema(described, traits) };
  const { description } = described;
  if (typeof description === 'string' && description !== '') {
    translated['description'] = description;
  }
  const mark = isJsonObject(tool['cache_control']) ? tool : described;
  return isJsonObject(mark['cache_control'])
    ? { ...translated, cache_control: mark['cache_control'] }
    : translated;
}

/** Strict if the model and the schema support it; otherwise the schema is only a guide for the model. */
function inputSchema(
  { parameters, strict }: Record<string, unknown>,
  { structured }: ModelTraits,
): Record<string, unknown> {
  const schema = isJsonObject(parameters) ? parameters : { properties: {} };
  const complete = schema['type'] === 'object' ? schema : { ...schema, type: 'object' };
  const strictSchema = strict === true && structured ? toStrictSchema(complete) : undefined;
  return strictSchema ? { input_schema: strictSchema, strict: true } : { input_schema: complete };
}

type Choice = { choice: Block; allowed?: Set<string> };

function translateChoice(choice: unknown): Choice {
  if (choice === undefined || choice === null || choice === 'auto') {
    return { choice: { type: 'auto' } };
  }
  if (choice === 'none') return { choice: { type: 'none' } };
  if (choice === 'required') return { choice: { type: 'any' } };
  if (isJsonObject(choice)) {
    const { type, function: named, allowed_tools: allowed } = choice;
    if (type === 'function' && isJsonObject(named) && typeof named['name'] === 'string') {
      return { choice: { type: 'tool', name: named['name'] } };
    }
    if (type === 'allowed_tools' && isJsonObject(allowed)) return translateAllowed(allowed);
  }
  throw new RefusedError('tool_choice', "Anthropic's API has no such choice of a tool.");
}

function translateAllowed({ mode, tools }: Record<string, unknown>): Choice {
  const names = (Array.isArray(tools) ? (tools as unknown[]) : []).map((tool) => {
    const named = isJsonObject(tool) ? (tool['function'] ?? tool) : undefined;
    return isJsonObject(named) ? shownText(named['name']) : '';
  });
  return {
    choice: { type: mode === 'required' ? 'any' : 'auto' },
    allowed: new Set(names),
  };
}
