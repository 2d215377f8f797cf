import { expect, it } from 'vitest';
import { parseShallow } from './json.ts';

it('a value that is nested deeper than anything can print is kept to a depth that it can', () => {
  for (const [open, close] of [
    ['{"a":', '}'],
    ['[', ']'],
  ] as const) {
    const text = `{"deep":${open.repeat(100_000)}1${close.repeat(100_000)},"other":[1,{"b":null}]}`;
    const value = parseShallow(text);
    expect(JSON.stringify(value).length).toBeLessThan(1000);
    expect(value).toMatchObject({ other: [1, { b: null }] });
  }
});

it('a value that is not is as it was', () => {
  const text = '{"a":[1,"x",null,true,{"b":{"__proto__":{"c":[]}}}],"d":1.5}';
  expect(JSON.stringify(parseShallow(text))).toBe(text);
});
