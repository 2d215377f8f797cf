import type { JsonObject } from './request-json.ts';
import { isRecord } from './request-json.ts';

/*
 * Makes a value that a JSON schema accepts, for structured output or for a tool call. The same schema always
 * gives the same value, so that a second provider repeats it.
 */

/** Below this depth schemas get only what they require: a recursive one would never end. */
const RICH_DEPTH = 4;
/** A schema that requires a value of itself has no finite value; this depth ends it. */
const DEEPEST = 32;
/** A schema that requires several of itself would have billions of values at that depth. */
const MOST_VALUES = 10_000;
/** The most characters or items that a schema may require. */
const LONGEST = 1000;

const PLAIN_TEXT = 'simulated';

const FORMATS: Readonly<Record<string, string>> = {
  'date-time': '2026-01-01T00:00:00Z',
  date: '2026-01-01',
  time: '00:00:00Z',
  duration: 'P1D',
  email: 'simulated@example.com',
  hostname: 'example.com',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
  uri: 'https://example.com/',
  url: 'https://example.com/',
  uuid: '00000000-0000-4000-8000-000000000000',
};

const memberKeywords = (
  'properties required additionalProperties minProperties patternProperties ' +
  '$ref allOf anyOf oneOf enum const'
).split(' ');

/** Whether a schema restricts an object's members; one that does not accepts any object. */
export function describesMembers(schema: unknown): boolean {
  if (!isRecord(schema)) return schema === false;
  return memberKeywords.some((keyword) => schema[keyword] !== undefined);
}

export function valueOf(schema: unknown): unknown {
  return valueIn(schema, { root: schema, depth: 0, made: { values: 0 } });
}

interface Place {
  readonly root: unknown;
  readonly depth: number;
  /** Values in the whole answer so far. */
  readonly made: { values: number };
}

function valueIn(schema: unknown, place: Place): unknown {
  place.made.values += 1;
  if (place.depth > DEEPEST || place.made.values > MOST_VALUES) return null;
  const known = resolved(schema, place.root);
  if ('const' in known) return known['const'];
  const { enum: options } = known;
  if (Array.isArray(options) && options.length > 0) return options[0] as unknown;
  const branches = known['anyOf'] ?? known['oneOf'];
  if (Array.isArray(branches) && branches.length > 0) {
    const { anyOf: _, oneOf: __, ...rest } = known;
    return valueIn(merged(rest, branchOf(branches, place)), deeper(place));
  }
  return valueOfType(typeOf(known, place), known, place);
}

const deeper = ({ depth, ...place }: Place): Place => ({ ...place, depth: depth + 1 });

/** The first branch; below `RICH_DEPTH` one that accepts null. */
function branchOf(branches: readonly unknown[], { root, depth }: Place): JsonObject {
  const schemas = branches.map((branch) => resolved(branch, root));
  const smallest = depth >= RICH_DEPTH ? schemas.find(({ type }) => type === 'null') : undefined;
  return smallest ?? schemas[0] ?? {};
}

function valueOfType(type: unknown, schema: JsonObject, place: Place): unknown {
  switch (type) {
    case 'object':
      return objectOf(schema, place);
    case 'array':
      return arrayOf(schema, place);
    case 'number':
    case 'integer':
      return numberOf(schema, type === 'integer');
    case 'boolean':
      return true;
    case 'null':
      return null;
    default:
      return textOf(schema);
  }
}

function typeOf(schema: JsonObject, { depth }: Place): unknown {
  const { type } = schema;
  if (Array.isArray(type)) {
    const types = type as unknown[];
    if (depth >= RICH_DEPTH && types.includes('null')) return 'null';
    return types.find((one) => one !== 'null') ?? 'null';
  }
  if (type !== undefined) return type;
  const has = (...keywords: string[]) => keywords.some((keyword) => schema[keyword] !== undefined);
  if (has('properties', 'required', 'additionalProperties', 'minProperties')) return 'object';
  if (has('items', 'prefixItems', 'minItems')) return 'array';
  if (has('minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'))
    return 'number';
  return 'string';
}

function objectOf(schema: JsonObject, place: Place): JsonObject {
  const properties = isRecord(schema['properties']) ? schema['properties'] : {};
  const required = list(schema['required']).filter((name) => typeof name === 'string');
  const wanted = place.depth < RICH_DEPTH ? [...Object.keys(properties), ...required] : required;
  const { additionalProperties: others } = schema;
  const value: Record<string, unknown> = {};
  const add = (name: string, member: unknown) =>
    Object.defineProperty(value, name, {
      value: valueIn(member, deeper(place)),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  for (const name of new Set(wanted)) {
    add(name, Object.hasOwn(properties, name) ? properties[name] : (others ?? {}));
  }
  const fewest = count(schema['minProperties'], isMap(schema) && place.depth < RICH_DEPTH ? 1 : 0);
  for (let n = 1; others !== false && Object.keys(value).length < fewest; n++) {
    add(`${PLAIN_TEXT}_${n}`, others === true ? {} : (others ?? {}));
  }
  return value;
}

/** Whether it has only free keys, whose values are described. */
const isMap = ({ properties, additionalProperties }: JsonObject): boolean =>
  properties === undefined && isRecord(additionalProperties);

function arrayOf(schema: JsonObject, place: Place): unknown[] {
  const items = list(schema['prefixItems']).map((item) => valueIn(item, deeper(place)));
  const most = count(schema['maxItems'], LONGEST);
  const usual = place.depth < RICH_DEPTH && schema['items'] !== false ? 1 : 0;
  const fewest = Math.min(
    most,
    Math.max(count(schema['minItems'], 0), items.length > 0 ? 0 : usual),
  );
  const { items: itemSchema = {} } = schema;
  for (let n = items.length; n < fewest; n++) {
    items.push(
      schema['uniqueItems'] === true
        ? unlike(n, itemSchema, place)
        : valueIn(itemSchema, deeper(place)),
    );
  }
  return items;
}

/** The items of a set: as many different ones as the schema permits. */
function unlike(n: number, schema: unknown, place: Place): unknown {
  const known = resolved(schema, place.root);
  const options = list(known['enum']);
  if (options.length > 0) return options[n % options.length];
  const value = valueIn(known, deeper(place));
  if (typeof value === 'number') return value + n * (Number(known['multipleOf']) || 1);
  return typeof value === 'string' && n > 0 ? `${value}${n}` : value;
}

function numberOf(schema: JsonObject, isInteger: boolean): number {
  const number = (name: string) => (typeof schema[name] === 'number' ? schema[name] : undefined);
  const step = number('multipleOf') ?? (isInteger ? 1 : undefined);
  const above = number('exclusiveMinimum');
  const below = number('exclusiveMaximum');
  const low = Math.max(number('minimum') ?? -Infinity, above ?? -Infinity);
  const high = Math.min(number('maximum') ?? Infinity, below ?? Infinity);
  const isOpen = (value: number) => value === above || value === below;
  const fits = (value: number) => value >= low && value <= high && !isOpen(value);
  if (step === undefined) {
    const between = Number.isFinite(low) && Number.isFinite(high) ? (low + high) / 2 : undefined;
    const beside = Number.isFinite(low) ? low + 1 : high - 1;
    return [1, between ?? beside, low].find(fits) ?? 1;
  }
  const usual = Math.max(1, Math.round(1 / step)) * step;
  const first = Number.isFinite(low)
    ? Math.ceil(low / step) * step
    : Math.floor(high / step) * step;
  return [usual, first, first + step, first - step].find(fits) ?? usual;
}

function textOf(schema: JsonObject): string {
  const { format, pattern } = schema;
  const given = typeof format === 'string' ? FORMATS[format] : undefined;
  if (given !== undefined) return given;
  if (typeof pattern === 'string') {
    const found = SAMPLES.find((sample) => matches(pattern, sample));
    if (found !== undefined) return found;
  }
  const most = count(schema['maxLength'], LONGEST);
  const fewest = Math.min(count(schema['minLength'], 0), LONGEST);
  return PLAIN_TEXT.padEnd(fewest, ` ${PLAIN_TEXT}`).slice(0, Math.max(most, fewest));
}

/** Texts that match common patterns; for other patterns the plain text is used. */
const SAMPLES = (
  `${PLAIN_TEXT} SIMULATED Simulated simulated_1 simulated-1 A1 a1 A AB ABC a ab abc 1 12 123 1234 12345 ` +
  '123456 1234567890 1.0 1.0.0 v1.0.0 #000000 +15550100 555-0100 (555)555-0100 ABC-123 AB-1234 EUR en-US 12:00'
)
  .split(' ')
  .concat(Object.values(FORMATS));

function matches(pattern: string, sample: string): boolean {
  try {
    return new RegExp(pattern, 'u').test(sample);
  } catch {
    return false;
  }
}

/** A schema with its reference resolved and its `allOf` merged. `within`: the enclosing schemas. */
function resolved(schema: unknown, root: unknown, within: readonly unknown[] = []): JsonObject {
  if (!isRecord(schema) || within.includes(schema)) return {};
  const { $ref: ref, allOf: parts, ...rest } = schema;
  const inner = [...within, schema];
  let own: Record<string, unknown> = rest;
  if (typeof ref === 'string') own = merged(own, resolved(pointed(root, ref), root, inner));
  for (const part of list(parts)) own = merged(own, resolved(part, root, inner));
  return own;
}

/** The target of a reference within the document: `#`, `#/$defs/a`, `#/definitions/a~1b`. */
function pointed(root: unknown, ref: string): unknown {
  if (!ref.startsWith('#')) return undefined;
  let at = root;
  for (const part of ref
    .slice(1)
    .split('/')
    .filter((one) => one !== '')) {
    const name = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
    at = isRecord(at) && Object.hasOwn(at, name) ? at[name] : undefined;
  }
  return at;
}

/** Merges two schemas that must both hold. */
function merged(one: JsonObject, other: JsonObject): Record<string, unknown> {
  const both: Record<string, unknown> = { ...one, ...other };
  if (isRecord(one['properties']) && isRecord(other['properties'])) {
    both['properties'] = { ...one['properties'], ...other['properties'] };
  }
  if (Array.isArray(one['required']) && Array.isArray(other['required'])) {
    both['required'] = [...list(one['required']), ...list(other['required'])];
  }
  return both;
}

const list = (value: unknown): unknown[] => (Array.isArray(value) ? (value as unknown[]) : []);

const count = (value: unknown, otherwise: number): number =>
  typeof value === 'number' && value >= 0 ? Math.min(value, LONGEST) : otherwise;
