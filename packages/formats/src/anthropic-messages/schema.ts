import { isJsonObject, shownText } from '@millrace/shared/domain/json';

/*
 * Anthropic's structured outputs support a part of JSON Schema and answer the rest with 400. Keywords that
 * only narrow a value (a minimum, a pattern, a length) are moved into the description for the model, as in
 * Anthropic's own SDKs; keywords that cannot be expressed make the schema unsupported.
 */

/** Keywords that are kept unchanged. */
const plainKeywords = new Set([
  'type',
  'title',
  'description',
  'default',
  'enum',
  'const',
  'required',
  '$ref',
]);

/** Objects of schemas by name. */
const namedSchemas = new Set(['properties', '$defs', 'definitions']);

const listKeywords: Readonly<Record<string, string>> = {
  anyOf: 'anyOf',
  allOf: 'allOf',
  // For generated values, exactly one and any one are equivalent.
  oneOf: 'anyOf',
};

const formats = new Set([
  'date-time',
  'time',
  'date',
  'duration',
  'email',
  'hostname',
  'uri',
  'ipv4',
  'ipv6',
  'uuid',
]);

/** Anthropic compiles no deeper schema; a deeper one is certainly not intended. */
const maxDepth = 64;

/** The schema in Anthropic's subset of JSON Schema; undefined if it cannot be expressed. */
export function toStrictSchema(schema: unknown, depth = 0): Record<string, unknown> | undefined {
  if (!isJsonObject(schema) || depth > maxDepth) return undefined;
  const strict: Record<string, unknown> = {};
  const told: string[] = [];
  for (const [keyword, value] of Object.entries(schema)) {
    if (keyword === '$schema' || keyword === '$id' || keyword === 'additionalProperties') continue;
    if (plainKeywords.has(keyword)) strict[keyword] = value;
    else if (isKept(keyword, value)) strict[keyword] = value;
    else {
      const translated = subschemas(keyword, value, depth + 1);
      if (translated === 'inexpressible') return undefined;
      if (translated) strict[translated.keyword] = translated.value;
      else told.push(`${keyword}: ${JSON.stringify(value)}`);
    }
  }
  if (isObjectSchema(schema)) {
    // A map with free keys: closing it would make it an empty object.
    if (isOpen(schema)) return undefined;
    strict['additionalProperties'] = false;
  }
  if (told.length > 0) strict['description'] = describe(strict['description'], told);
  return strict;
}

function isKept(keyword: string, value: unknown): boolean {
  if (keyword === 'format') return formats.has(shownText(value));
  return keyword === 'minItems' && (value === 0 || value === 1);
}

type Subschemas = { keyword: string; value: unknown } | 'inexpressible' | undefined;

function subschemas(keyword: string, value: unknown, depth: number): Subschemas {
  if (keyword === 'items') {
    const items = toStrictSchema(value, depth);
    return items ? { keyword, value: items } : 'inexpressible';
  }
  if (namedSchemas.has(keyword)) {
    if (!isJsonObject(value)) return 'inexpressible';
    const named = Object.entries(value).map(([name, schema]) => [
      name,
      toStrictSchema(schema, depth),
    ]);
    if (named.some(([, schema]) => schema === undefined)) return 'inexpressible';
    return { keyword, value: Object.fromEntries(named) };
  }
  const list = Object.hasOwn(listKeywords, keyword) ? listKeywords[keyword] : undefined;
  if (list === undefined) return undefined;
  if (!Array.isArray(value)) return 'inexpressible';
  const schemas = value.map((schema) => toStrictSchema(schema, depth));
  return schemas.includes(undefined) ? 'inexpressible' : { keyword: list, value: schemas };
}

function isObjectSchema({ type, properties }: Record<string, unknown>): boolean {
  return (
    type === 'object' ||
    properties !== undefined ||
    (Array.isArray(type) && (type as unknown[]).includes('object'))
  );
}

/** Whether the schema explicitly allows keys without a name. */
function isOpen({ properties, additionalProperties, patternProperties }: Record<string, unknown>) {
  if (patternProperties !== undefined || isJsonObject(additionalProperties)) return true;
  return !isJsonObject(properties) && additionalProperties !== false;
}

function describe(description: unknown, told: readonly string[]): string {
  const rules = `(${told.join(', ')})`;
  return typeof description === 'string' && description !== '' ? `${description} ${rules}` : rules;
}
