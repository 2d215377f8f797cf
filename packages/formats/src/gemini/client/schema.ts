import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { member } from './names.ts';

/** Levels of a schema that are converted; no schema is deeper. */
const maxDepth = 64;

/** Members of Google's schema that a JSON schema does not have. */
const dropped: ReadonlySet<string> = new Set([
  'nullable',
  'propertyOrdering',
  'property_ordering',
  'example',
]);

/** Google's first form of a schema (a part of OpenAPI 3.0, types in capitals) as JSON Schema. */
export function toJsonSchema(schema: unknown, depth = 0): JsonObject {
  if (!isJsonObject(schema) || depth > maxDepth) return {};
  const converted: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(schema)) {
    if (!dropped.has(name)) converted[name] = convert(name, value, depth + 1);
  }
  const { type } = converted;
  if (schema['nullable'] === true && typeof type === 'string') converted['type'] = [type, 'null'];
  return converted;
}

/** Google writes integers of 64 bits as texts. */
const counts: ReadonlySet<string> = new Set([
  'minItems',
  'maxItems',
  'minLength',
  'maxLength',
  'minProperties',
  'maxProperties',
]);

function convert(name: string, value: unknown, depth: number): unknown {
  if (name === 'type') return typeof value === 'string' ? value.toLowerCase() : value;
  if (name === 'items' || name === 'additionalProperties') {
    return isJsonObject(value) ? toJsonSchema(value, depth) : value;
  }
  if (name === 'anyOf') return itemsOf(value).map((one) => toJsonSchema(one, depth));
  if (name === 'properties' && isJsonObject(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [key, toJsonSchema(one, depth)]),
    );
  }
  return counts.has(name) && typeof value === 'string' ? Number(value) : value;
}

/** The schema of arguments or of an answer, whichever of the two forms the client sent. */
export function schemaOf(
  source: JsonObject,
  json: string,
  openApi: string,
): JsonObject | undefined {
  const schema = member(source, json);
  if (isJsonObject(schema)) return schema;
  const older = member(source, openApi);
  return isJsonObject(older) ? toJsonSchema(older) : undefined;
}
