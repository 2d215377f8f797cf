import { expect, it } from 'vitest';
import { maxNesting, parseObject, readChatRequest } from './body.ts';

/** A request with as many levels in all. */
const nested = (levels: number, open = '{"a":', close = '}') =>
  `{"model":"m","messages":[{"role":"user"}],"x":${open.repeat(levels - 2)}{}${close.repeat(levels - 2)}}`;

it.each([
  ['objects', '{"a":', '}'],
  ['arrays', '[', ']'],
])('%s nested to the bound are taken, and no deeper', (_, open, close) => {
  const read = (levels: number) => readChatRequest(parseObject(nested(levels, open, close)));
  expect(read(maxNesting)).toMatchObject({ model: 'm' });
  const refused = /nested more than 1000 levels/;
  expect(() => read(maxNesting + 1)).toThrow(refused);
  expect(() => read(100_000)).toThrow(refused);
});
