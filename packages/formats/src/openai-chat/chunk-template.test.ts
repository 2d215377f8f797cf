import { expect, test } from 'vitest';
import { contentIn, templateOf } from './chunk-template.ts';

const chunk = (content: string, rest = '"finish_reason":null') =>
  `{"id":"a","choices":[{"index":0,"delta":{"content":${content}},${rest}}]}`;
const template = templateOf(chunk('" one"'));

test('a chunk that differs in its content only fits', () => {
  expect(template && contentIn(template, chunk('" two, höher 😀"'))).toBe(' two, höher 😀');
});

test.each([
  ['an empty content', chunk('""')],
  ['an escape in the content', chunk('" \\n"')],
  ['an escaped quote', chunk('"say \\"x\\""')],
  ['a raw control character, which is no JSON', chunk('"a\tb"')],
  ['no string at all', chunk('null')],
  ['another finish_reason', chunk('" two"', '"finish_reason":"stop"')],
  ['a second content hidden behind the first', chunk('" two"},"x":{"content":" three"')],
  ['a shorter text that both ends overlap in', chunk('"').slice(0, -1)],
  ['another id', chunk('" two"').replace('"a"', '"b"')],
])('%s does not', (_name, text) => {
  expect(template && contentIn(template, text)).toBeUndefined();
});

test.each([
  ['without content', '{"choices":[{"delta":{"role":"assistant"}}]}'],
  ['with two contents', chunk('" one"', '"message":{"content":"x"}')],
  ['with an escape in its content', chunk('" \\u0041"')],
])('a chunk %s makes no template', (_name, text) => {
  expect(templateOf(text)).toBeUndefined();
});
