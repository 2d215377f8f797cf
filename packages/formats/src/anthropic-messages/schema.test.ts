import { expect, it } from 'vitest';
import { toStrictSchema } from './schema.ts';

it('closes objects, and tells what Anthropic cannot enforce in the description', () => {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: {
      age: { type: 'integer', minimum: 0, maximum: 150, description: 'In years.' },
      mail: { type: 'string', format: 'email' },
      name: { type: 'string', format: 'nickname' },
      tags: {
        type: 'array',
        items: { oneOf: [{ type: 'string' }, { type: 'null' }] },
        minItems: 1,
      },
      pair: { type: 'array', items: { $ref: '#/$defs/leaf' }, minItems: 2 },
    },
    required: ['age'],
    $defs: { leaf: { type: 'object', properties: {}, additionalProperties: true } },
  };
  expect(toStrictSchema(schema)).toEqual({
    type: 'object',
    properties: {
      age: { type: 'integer', description: 'In years. (minimum: 0, maximum: 150)' },
      mail: { type: 'string', format: 'email' },
      name: { type: 'string', description: '(format: "nickname")' },
      tags: {
        type: 'array',
        items: { anyOf: [{ type: 'string' }, { type: 'null' }] },
        minItems: 1,
      },
      pair: { type: 'array', items: { $ref: '#/$defs/leaf' }, description: '(minItems: 2)' },
    },
    required: ['age'],
    $defs: { leaf: { type: 'object', properties: {}, additionalProperties: false } },
    additionalProperties: false,
  });
});

it.each([
  ['a map', { type: 'object', additionalProperties: { type: 'string' } }],
  ['an object of anything', { type: 'object' }],
  ['keys by pattern', { type: 'object', properties: {}, patternProperties: { '^x': {} } }],
  ['a map within', { type: 'array', items: { type: 'object' } }],
  ['a map among others', { anyOf: [{ type: 'string' }, { type: 'object' }] }],
  ['no schema', true],
  ['nothing', undefined],
])('cannot express %s', (_what, schema) => {
  expect(toStrictSchema(schema)).toBeUndefined();
});

it('does not follow a schema that nests without end', () => {
  let schema: Record<string, unknown> = { type: 'string' };
  for (let depth = 0; depth < 5000; depth++) schema = { type: 'array', items: schema };
  expect(toStrictSchema(schema)).toBeUndefined();
});

it('takes a property of any name for a property', () => {
  const schema = JSON.parse(
    '{"type":"object","properties":{"__proto__":{"type":"string"},"minimum":{"type":"number"}}}',
  ) as unknown;
  expect(JSON.stringify(toStrictSchema(schema))).toBe(
    '{"type":"object","properties":{"__proto__":{"type":"string"},"minimum":{"type":"number"}},"additionalProperties":false}',
  );
});
