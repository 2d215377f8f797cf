import { expect, test } from 'vitest';
import { parseExactly } from './exact-json.ts';

test('only numbers that a double cannot hold are opaque, whatever else is in the text', () => {
  const text = '{"id":"1234567890123456","a":1.0,"b":1e3,"c":12345678901234567890,"d":0.5}';
  const value = parseExactly(text) as Record<string, unknown>;
  expect(value).toMatchObject({ a: 1, b: 1000, d: 0.5 });
  expect(JSON.stringify(value['c'])).toBe('12345678901234567890');
});
