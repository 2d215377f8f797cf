import { isJsonObject, itemsOf, shownText } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { InvalidRequest } from '../../client-port.ts';
import type { Inexpressible } from '../../inexpressible.ts';
import { member } from './names.ts';
import { schemaOf } from './schema.ts';

/** The declared functions. Google's own tools are inexpressible. */
export function innerTools(tools: unknown, lost: Inexpressible): JsonObject[] {
  // Clients of Google's libraries may send one tool without a list.
  const all: readonly unknown[] = isJsonObject(tools) ? [tools] : itemsOf(tools);
  return all.flatMap((tool, index) => {
    const param = `tools[${index}]`;
    if (!isJsonObject(tool)) throw new InvalidRequest(param, `Invalid value at '${param}'.`);
    for (const [name, value] of Object.entries(tool)) {
      const isDeclared = name === 'functionDeclarations' || name === 'function_declarations';
      if (!isDeclared && value !== null) {
        lost.add(param, `the tool '${name}'`);
      }
    }
    return itemsOf(member(tool, 'functionDeclarations')).map((declared, at) =>
      innerTool(declared, `${param}.function_declarations[${at}]`),
    );
  });
}

function innerTool(declared: unknown, param: string): JsonObject {
  const { name, description } = isJsonObject(declared) ? declared : {};
  if (!isJsonObject(declared) || typeof name !== 'string' || name === '') {
    throw new InvalidRequest(
      `${param}.name`,
      `* GenerateContentRequest.${param}.name: Invalid function name.`,
    );
  }
  const parameters = schemaOf(declared, 'parametersJsonSchema', 'parameters');
  return {
    type: 'function',
    function: {
      name,
      ...(typeof description === 'string' && { description }),
      parameters: parameters ?? { type: 'object', properties: {} },
    },
  };
}

/** `tool_choice` for a `toolConfig`. */
export function innerChoice(config: unknown): JsonObject {
  const calling = isJsonObject(config) ? member(config, 'functionCallingConfig') : undefined;
  if (!isJsonObject(calling)) return {};
  const names = itemsOf(member(calling, 'allowedFunctionNames')).map(shownText);
  switch (calling['mode']) {
    case 'NONE':
      return { tool_choice: 'none' };
    case 'ANY':
      return { tool_choice: names.length === 0 ? 'required' : choiceOf(names) };
    default:
      return {};
  }
}

const functionOf = (name: string) => ({ type: 'function', function: { name } });

const choiceOf = (names: readonly string[]): JsonObject =>
  names.length === 1
    ? functionOf(names[0] ?? '')
    : { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: names.map(functionOf) } };
