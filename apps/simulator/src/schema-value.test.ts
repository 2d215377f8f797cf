import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { valueOf } from './schema-value.ts';

const ajv = new Ajv2020({ strict: false, allErrors: true });
formats.default(ajv);

/** What is wrong with the value of a schema; empty where nothing is. */
function problemsOf(schema: object): unknown[] {
  const value = valueOf(schema);
  // What arrives is text.
  ajv.validate(schema, JSON.parse(JSON.stringify(value)));
  return (ajv.errors ?? []).map((error) => ({ ...error, value }));
}

const address = {
  type: 'object',
  properties: { street: { type: 'string' }, zip: { type: 'string', pattern: '^[0-9]{5}$' } },
  required: ['street', 'zip'],
  additionalProperties: false,
};

const schemas: Record<string, object> = {
  'members that are required and members that are not': {
    type: 'object',
    properties: {
      city: { type: 'string' },
      days: { type: 'integer' },
      isMetric: { type: 'boolean' },
    },
    required: ['city'],
    additionalProperties: false,
  },
  'an enumeration': {
    type: 'object',
    properties: { unit: { enum: ['celsius', 'kelvin'] } },
    required: ['unit'],
  },
  'a constant': { type: 'object', properties: { kind: { const: 'point' } }, required: ['kind'] },
  'nested objects and arrays': {
    type: 'object',
    properties: {
      addresses: { type: 'array', items: address, minItems: 2 },
      tags: { type: 'array', items: { type: 'string' } },
    },
    required: ['addresses', 'tags'],
    additionalProperties: false,
  },
  'references into $defs': {
    type: 'object',
    properties: {
      home: { $ref: '#/$defs/address' },
      work: { anyOf: [{ $ref: '#/$defs/address' }, { type: 'null' }] },
    },
    required: ['home', 'work'],
    $defs: { address },
  },
  'references into definitions, with escapes': {
    $ref: '#/definitions/a~1b%20c',
    definitions: {
      'a/b c': { type: 'object', properties: { x: { type: 'number' } }, required: ['x'] },
    },
  },
  'a list of itself': {
    $ref: '#/$defs/node',
    $defs: {
      node: {
        type: 'object',
        properties: {
          value: { type: 'integer' },
          next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] },
        },
        required: ['value', 'next'],
        additionalProperties: false,
      },
    },
  },
  'a tree of itself': {
    type: 'object',
    properties: { name: { type: 'string' }, children: { type: 'array', items: { $ref: '#' } } },
    required: ['name', 'children'],
    additionalProperties: false,
  },
  'a map with free keys': { type: 'object', additionalProperties: { type: 'integer', minimum: 3 } },
  'a member that only `required` names': {
    type: 'object',
    required: ['x'],
    additionalProperties: { type: 'array' },
  },
  'a member named like a prototype': JSON.parse(
    '{"type":"object","properties":{"__proto__":{"type":"integer"}},"required":["__proto__"]}',
  ) as object,
  'parts of allOf': {
    allOf: [
      { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] },
      { properties: { b: { type: 'number' } }, required: ['b'] },
    ],
  },
  'one of several forms': { oneOf: [{ type: 'string', format: 'email' }, { type: 'integer' }] },
  'types that may be null': {
    type: 'object',
    properties: { a: { type: ['null', 'string'] } },
    required: ['a'],
  },
  'a tuple': {
    type: 'array',
    prefixItems: [{ type: 'integer' }, { type: 'string' }],
    items: false,
    minItems: 2,
  },
  'a set': { type: 'array', items: { enum: ['a', 'b', 'c'] }, uniqueItems: true, minItems: 3 },
  'bounds of texts': { type: 'string', minLength: 30, maxLength: 40 },
  'no type at all': { properties: { a: { items: { minimum: 5 }, minItems: 1 } }, required: ['a'] },
  'nothing allowed in it': { type: 'object', properties: {}, additionalProperties: false },
};

it.each(Object.entries(schemas))('a value fits a schema with %s', (_, schema) => {
  expect(problemsOf(schema)).toEqual([]);
});

it.each([
  'date-time',
  'date',
  'time',
  'duration',
  'email',
  'hostname',
  'ipv4',
  'ipv6',
  'uri',
  'uuid',
])('a text has the format %s', (format) => {
  expect(problemsOf({ type: 'string', format })).toEqual([]);
});

describe('whatever a schema is made of', () => {
  const leaf = fc.oneof(
    fc.record({ type: fc.constantFrom('string', 'boolean', 'null', 'number', 'integer') }),
    fc.record({ enum: fc.array(fc.jsonValue({ maxDepth: 1 }), { minLength: 1, maxLength: 3 }) }),
    fc
      .tuple(
        fc.integer({ min: -50, max: 50 }),
        fc.nat({ max: 50 }),
        fc.constantFrom('number', 'integer'),
      )
      .map(([minimum, more, type]) => ({ type, minimum, maximum: minimum + more })),
    fc.integer({ min: -50, max: 50 }).map((low) => ({ type: 'integer', exclusiveMinimum: low })),
    fc
      .integer({ min: 1, max: 9 })
      .map((multipleOf) => ({ type: 'integer', multipleOf, minimum: 20 })),
    fc.nat({ max: 40 }).map((length) => ({ type: 'string', minLength: length, maxLength: length })),
  );
  const { schema } = fc.letrec<{ schema: object }>((tie) => ({
    schema: fc.oneof(
      { maxDepth: 6, depthSize: 'medium' },
      leaf,
      fc.record({ anyOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }) }),
      fc.record({ type: fc.constant('array'), items: tie('schema'), minItems: fc.nat({ max: 3 }) }),
      fc
        .dictionary(fc.string({ minLength: 1, maxLength: 5 }), tie('schema'), { maxKeys: 4 })
        .chain((properties) =>
          fc.record({
            type: fc.constant('object'),
            properties: fc.constant(properties),
            required: fc.subarray(Object.keys(properties)),
            additionalProperties: fc.boolean(),
          }),
        ),
    ),
  }));

  it('its value fits it', () => {
    fc.assert(
      fc.property(schema, (one) => {
        expect(problemsOf(one)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('its value ends, and is the same each time', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (one) => {
        expect(valueOf(one)).toEqual(valueOf(one));
      }),
      { numRuns: 300 },
    );
    const endless = {
      $ref: '#/$defs/a',
      $defs: { a: { type: 'object', properties: { a: { $ref: '#/$defs/a' } }, required: ['a'] } },
    };
    expect(JSON.stringify(valueOf(endless)).length).toBeLessThan(2000);
    expect(JSON.stringify(valueOf({ $ref: '#' })).length).toBeLessThan(100);
    const again = { $ref: '#' };
    expect(JSON.stringify(valueOf({ allOf: [again, again, again] })).length).toBeLessThan(100);
    const twice = { type: 'object', properties: { a: again, b: again }, required: ['a', 'b'] };
    expect(JSON.stringify(valueOf(twice)).length).toBeLessThan(200_000);
    const wide = { type: 'array', items: again, minItems: 1000 };
    expect(JSON.stringify(valueOf(wide)).length).toBeLessThan(300_000);
  });
});
