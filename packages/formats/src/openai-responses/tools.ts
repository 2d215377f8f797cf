import { isJsonObject } from '@millrace/shared/domain/json';
import { invalid } from '../refused.ts';

type Json = Readonly<Record<string, unknown>>;

/** `tools` and `tool_choice`, if there are any. */
export function translateTools(request: Json): Record<string, unknown> {
  const asked = request['tools'] ?? [];
  if (!Array.isArray(asked)) throw invalid('tools', 'must be an array');
  const tools = (asked as unknown[]).map((tool, index) => translateTool(tool, `tools[${index}]`));
  const search = request['web_search_options'];
  if (search !== undefined && search !== null) tools.push(webSearch(search));
  const choice = request['tool_choice'];
  const members = tools.length > 0 ? { tools } : {};
  if (choice === undefined || choice === null) return members;
  return { ...members, tool_choice: translateChoice(choice) };
}

/** Functions and custom tools are described one level higher here; tools of other types are the API's own and pass. */
function translateTool(tool: unknown, param: string): Json {
  if (!isJsonObject(tool)) throw invalid(param, 'must be an object');
  const { type = 'function', function: described, custom } = tool;
  if (type === 'custom' && isJsonObject(custom)) return customTool(custom);
  if (type !== 'function') return tool;
  if (!isJsonObject(described) || typeof described['name'] !== 'string') {
    throw invalid(`${param}.function.name`, 'must be a text');
  }
  const { name, description, parameters, strict, ...others } = described;
  return {
    type,
    name,
    ...(typeof description === 'string' && { description }),
    parameters: parameters ?? { type: 'object', properties: {} },
    // The default is true here, and false in a chat completion.
    strict: strict ?? false,
    ...others,
  };
}

function customTool({ format, ...custom }: Json): Json {
  const grammar = isJsonObject(format) ? format['grammar'] : undefined;
  if (isJsonObject(grammar)) {
    return { type: 'custom', ...custom, format: { type: 'grammar', ...grammar } };
  }
  return { type: 'custom', ...custom, ...(format !== undefined && { format }) };
}

function webSearch(options: unknown): Json {
  const { search_context_size: size, user_location: location } = isJsonObject(options)
    ? options
    : {};
  const place = isJsonObject(location) ? location['approximate'] : undefined;
  return {
    type: 'web_search',
    ...(size !== undefined && { search_context_size: size }),
    ...(isJsonObject(place) && { user_location: { type: 'approximate', ...place } }),
  };
}

function translateChoice(choice: unknown): unknown {
  if (!isJsonObject(choice)) return choice;
  const { type, allowed_tools: allowed } = choice;
  if (type !== 'allowed_tools' || !isJsonObject(allowed)) return named(choice);
  const { mode, tools } = allowed;
  const list = Array.isArray(tools) ? (tools as unknown[]) : [];
  return { type, mode, tools: list.map((tool) => (isJsonObject(tool) ? named(tool) : tool)) };
}

/** `{type, function: {name}}` is `{type, name}` here. */
function named(choice: Json): Json {
  const { type } = choice;
  const inner = type === 'function' || type === 'custom' ? choice[type] : undefined;
  return isJsonObject(inner) ? { type, name: inner['name'] } : choice;
}
