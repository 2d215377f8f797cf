import { isJsonObject } from '@millrace/shared/domain/json';
import { parseExactly } from './exact-json.ts';
import { RefusedError } from './refused.ts';

/*
 * The body of a request in the inner form, as formats that translate it read it. Null always counts as absent.
 */

type Json = Record<string, unknown>;

/** @throws {RefusedError} if it is no JSON object. */
export function parseInnerBody(body: string): Json {
  let request: unknown;
  try {
    request = parseExactly(body);
  } catch {
    // Refused below.
  }
  if (!isJsonObject(request)) throw new RefusedError('', 'The body is no JSON object.');
  return request;
}

/** Whether the value of a member asks for what a format does not have. */
export type Asks = (value: unknown) => boolean;

export const always: Asks = () => true;
export const isNot =
  (nothing: unknown): Asks =>
  (value) =>
    value !== nothing;

/** Members that ask for the same in every format that does not have them. */
export const commonAsks = {
  logit_bias: (value) => Object.keys(Object(value)).length > 0,
  // The predecessors of `tools` and `tool_choice`: their answers have another form.
  functions: (value) => !Array.isArray(value) || value.length > 0,
  function_call: isNot('none'),
} as const satisfies Readonly<Record<string, Asks>>;

/**
 * Refuses a request with a member that `fields` has and that asks for something.
 * @throws {RefusedError} which names the member and the `api`.
 */
export function refuseFields(
  request: Readonly<Json>,
  fields: Readonly<Record<string, Asks>>,
  api: string,
): void {
  for (const [name, asks] of Object.entries(fields)) {
    const value = request[name];
    if (value === undefined || value === null || !asks(value)) continue;
    throw new RefusedError(
      name,
      `${api} has nothing that corresponds to '${name}' with this value.`,
      'unsupported_parameter',
    );
  }
}
