import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { InvalidRequest } from '../../client-port.ts';
import { joinedName } from '../namespace.ts';
import type { Inexpressible } from '../../inexpressible.ts';

/**
 * Functions and custom tools, also those in namespaces. Tools that a provider runs itself are dropped if there are others, as
 * agents offer them beside their own; a request that has no other tool needs a provider that runs them.
 */
export function innerTools(tools: unknown, lost: Inexpressible): JsonObject[] {
  if (tools === undefined || tools === null) return [];
  if (!Array.isArray(tools)) throw new InvalidRequest('tools', "'tools' must be an array.");
  const own = (tools as unknown[]).flatMap((tool, index) => innerTool(tool, `tools[${index}]`));
  if (own.length === 0 && tools.length > 0) {
    const { type } = tools[0] as JsonObject;
    lost.add('tools[0]', `tools of the type ${JSON.stringify(type)}`);
  }
  return own;
}

function innerTool(tool: unknown, param: string, namespace?: unknown): JsonObject[] {
  if (!isJsonObject(tool)) throw new InvalidRequest(param, `'${param}' must be an object.`);
  const { type, name, description, parameters, strict, format } = tool;
  if (type === 'namespace' && namespace === undefined) {
    return itemsOf(tool['tools']).flatMap((one, index) =>
      innerTool(one, `${param}.tools[${index}]`, name),
    );
  }
  if (type !== 'function' && type !== 'custom') return [];
  if (typeof name !== 'string' || name === '') {
    throw new InvalidRequest(`${param}.name`, `Missing required parameter: '${param}.name'.`);
  }
  const described = {
    name: joinedName(name, namespace),
    ...(typeof description === 'string' && { description }),
  };
  if (type === 'custom') return [{ type, custom: { ...described, ...innerFormat(format) } }];
  return [
    {
      type,
      function: {
        ...described,
        ...(isJsonObject(parameters) && { parameters }),
        // Without a word about it, this API makes a schema strict where it can; others may refuse it.
        ...(strict === true && { strict }),
      },
    },
  ];
}

function innerFormat(format: unknown): JsonObject {
  if (!isJsonObject(format)) return {};
  const { type, ...grammar } = format;
  return { format: type === 'grammar' ? { type, grammar } : format };
}

/** `tool_choice` and `parallel_tool_calls`. */
export function innerChoice(body: JsonObject, lost: Inexpressible): JsonObject {
  const { tool_choice: choice, parallel_tool_calls: parallel } = body;
  const chosen = choiceOf(choice);
  if (chosen === undefined && isJsonObject(choice)) {
    lost.add('tool_choice', `a choice of the type ${JSON.stringify(choice['type'])}`);
  }
  return {
    ...(chosen !== undefined && { tool_choice: chosen }),
    ...(typeof parallel === 'boolean' && { parallel_tool_calls: parallel }),
  };
}

function choiceOf(choice: unknown): unknown {
  if (typeof choice === 'string') return choice;
  if (!isJsonObject(choice)) return undefined;
  const { type, name, mode, tools } = choice;
  if (type === 'function' || type === 'custom') return { type, [type]: { name } };
  if (type !== 'allowed_tools' || !Array.isArray(tools)) return undefined;
  const names = (tools as unknown[]).map(choiceOf);
  return names.includes(undefined) ? undefined : { type, allowed_tools: { mode, tools: names } };
}
