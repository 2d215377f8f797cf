import { isJsonObject } from '@millrace/shared/domain/json';
import { invalid, RefusedError } from '../refused.ts';

type Declaration = Record<string, unknown> & { name: string };

/** `tools` and `toolConfig`, if there are any. */
export function translateTools(
  request: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const asked = request['tools'] ?? [];
  if (!Array.isArray(asked)) throw invalid('tools', 'must be an array');
  const declarations: Declaration[] = [];
  const own: unknown[] = [];
  for (const [index, tool] of (asked as unknown[]).entries()) {
    const param = `tools[${index}]`;
    if (!isJsonObject(tool)) throw invalid(param, 'must be an object');
    if (isOwnTool(tool)) own.push(tool);
    else declarations.push(declarationOf(tool, param));
  }
  if (declarations.length === 0) return own.length > 0 ? { tools: own } : {};
  const { mode, allowed } = translateChoice(request['tool_choice']);
  if (request['parallel_tool_calls'] === false && mode !== 'NONE') {
    throw new RefusedError(
      'parallel_tool_calls',
      "Gemini's API cannot limit the model to one call at a time.",
      'unsupported_parameter',
    );
  }
  // The mode ANY takes a list of names; for AUTO the others are not declared.
  const declared =
    allowed && mode === 'AUTO'
      ? declarations.filter(({ name }) => allowed.includes(name))
      : declarations;
  const config = {
    mode,
    ...(allowed && mode === 'ANY' && { allowedFunctionNames: allowed }),
  };
  return {
    tools: [...(declared.length > 0 ? [{ functionDeclarations: declared }] : []), ...own],
    ...(mode !== 'AUTO' && { toolConfig: { functionCallingConfig: config } }),
  };
}

/** Google's own tools have no `type`, and one member with the tool's name: `{"googleSearch":{}}`. */
const isOwnTool = (tool: Record<string, unknown>): boolean =>
  tool['type'] === undefined &&
  tool['function'] === undefined &&
  Object.keys(tool).length > 0 &&
  Object.values(tool).every(isJsonObject);

function declarationOf(tool: Record<string, unknown>, param: string): Declaration {
  const { type, function: described } = tool;
  if (type !== undefined && type !== 'function') {
    throw new RefusedError(
      `${param}.type`,
      `Gemini's API has no tools of type ${JSON.stringify(type)}.`,
    );
  }
  if (!isJsonObject(described) || typeof described['name'] !== 'string') {
    throw invalid(`${param}.function.name`, 'must be a text');
  }
  const { name, description, parameters } = described as Declaration;
  return {
    name,
    ...(typeof description === 'string' && description !== '' && { description }),
    // `strict` is dropped: a schema is only a guide for the model here.
    ...(isJsonObject(parameters) && { parametersJsonSchema: parameters }),
  };
}

type Choice = { mode: 'AUTO' | 'ANY' | 'NONE'; allowed?: string[] };

function translateChoice(choice: unknown): Choice {
  if (choice === undefined || choice === null || choice === 'auto') return { mode: 'AUTO' };
  if (choice === 'none') return { mode: 'NONE' };
  if (choice === 'required') return { mode: 'ANY' };
  if (isJsonObject(choice)) {
    const { type, function: named, allowed_tools: allowed } = choice;
    if (type === 'function' && isJsonObject(named) && typeof named['name'] === 'string') {
      return { mode: 'ANY', allowed: [named['name']] };
    }
    if (type === 'allowed_tools' && isJsonObject(allowed)) {
      return {
        mode: allowed['mode'] === 'required' ? 'ANY' : 'AUTO',
        allowed: namesOf(allowed['tools']),
      };
    }
  }
  throw new RefusedError('tool_choice', "Gemini's API has no such choice of a tool.");
}

const namesOf = (tools: unknown): string[] =>
  (Array.isArray(tools) ? (tools as unknown[]) : []).flatMap((tool) => {
    const named = isJsonObject(tool) ? (tool['function'] ?? tool) : undefined;
    return isJsonObject(named) && typeof named['name'] === 'string' ? [named['name']] : [];
  });
