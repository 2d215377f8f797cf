import { isJsonObject } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { InvalidRequest } from '../../client-port.ts';
import type { Inexpressible } from '../../inexpressible.ts';

/** The client's tools as functions. Anthropic's own tools, which have a type with a date, are inexpressible. */
export function innerTools(tools: unknown, lost: Inexpressible): JsonObject[] {
  if (tools === undefined || tools === null) return [];
  if (!Array.isArray(tools))
    throw new InvalidRequest('tools', 'tools: Input should be a valid array');
  const functions: JsonObject[] = [];
  for (const [index, tool] of (tools as unknown[]).entries()) {
    const param = `tools.${index}`;
    if (!isJsonObject(tool)) throw new InvalidRequest(param, `${param}: Input should be an object`);
    const { type, name, description, input_schema: schema, strict } = tool;
    if (type !== undefined && type !== null && type !== 'custom') {
      lost.add(param, `tools of the type ${JSON.stringify(type)}`);
      continue;
    }
    if (typeof name !== 'string' || name === '') {
      throw new InvalidRequest(`${param}.name`, `${param}.name: Field required`);
    }
    if (!isJsonObject(schema)) {
      throw new InvalidRequest(`${param}.input_schema`, `${param}.input_schema: Field required`);
    }
    functions.push({
      type: 'function',
      function: {
        name,
        ...(typeof description === 'string' && { description }),
        parameters: schema,
        ...(strict === true && { strict }),
      },
    });
  }
  return functions;
}

/** `tool_choice` and `parallel_tool_calls`. */
export function innerChoice(choice: unknown): JsonObject {
  if (choice === undefined || choice === null) return {};
  if (!isJsonObject(choice)) {
    throw new InvalidRequest('tool_choice', 'tool_choice: Input should be an object');
  }
  const parallel = choice['disable_parallel_tool_use'] === true && { parallel_tool_calls: false };
  switch (choice['type']) {
    case 'auto':
      return { ...parallel };
    case 'any':
      return { tool_choice: 'required', ...parallel };
    case 'none':
      return { tool_choice: 'none' };
    case 'tool':
      return {
        tool_choice: { type: 'function', function: { name: choice['name'] } },
        ...parallel,
      };
    default:
      throw new InvalidRequest(
        'tool_choice.type',
        "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'",
      );
  }
}
