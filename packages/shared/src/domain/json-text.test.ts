import { describe, expect, it } from 'vitest';
import {
  itemTexts,
  memberText,
  readableMembers,
  setMembers,
  singleLine,
  topLevelMembers,
  withoutMember,
} from './json-text.ts';

const body = `
{ "model" : "gpt-4o",
  "messages": [{"role":"user","content":"}] \\"model\\": \\\\"}, {"model":"inner","n":[{}]}],
  "seed": 12345678901234567890 , "temperature":1.0, "stream": true, "a": {"model": 1, "model": 2}
}
`;

describe('setting members of a JSON text', () => {
  it('replaces a value where it stands and leaves every other byte alone', () => {
    expect(setMembers(body, { model: '"gpt-4o-mini"' })).toBe(
      body.replace('"gpt-4o"', '"gpt-4o-mini"'),
    );
    expect(setMembers(body, { stream: 'false', temperature: '0.10' })).toBe(
      body.replace('1.0', '0.10').replace('true', 'false'),
    );
  });

  it('appends what is not there, behind the last member', () => {
    expect(setMembers(body, { stream_options: '{"include_usage":true}', user: 'null' })).toBe(
      body.replace(/\}\n\}\n$/, '},"stream_options":{"include_usage":true},"user":null\n}\n'),
    );
    expect(setMembers(' { \n } ', { a: '1', 'b"': '2' })).toBe(' {"a":1,"b\\"":2 \n } ');
    expect(setMembers('{"a":1}', { a: '2', b: '3' })).toBe('{"a":2,"b":3}');
  });

  it('gives the text back as it is where nothing is set', () => {
    expect(setMembers(body, {})).toBe(body);
  });

  it('gives all duplicates the same value, so that first and last agree', () => {
    expect(setMembers('{"model":"a", "x":1,"model" : {"model":"b"}}', { model: '"c"' })).toBe(
      '{"model":"c", "x":1,"model" : "c"}',
    );
  });

  it('finds a name that is spelled with escapes', () => {
    expect(setMembers('{"m\\u006fdel":"a"}', { model: '"b"' })).toBe('{"m\\u006fdel":"b"}');
    expect(setMembers('{"model\\\\":"a"}', { model: '"b"' })).toBe('{"model\\\\":"a","model":"b"}');
  });

  it('is not led astray by names of the prototype', () => {
    expect(setMembers('{"toString":1,"__proto__":2}', { model: '3' })).toBe(
      '{"toString":1,"__proto__":2,"model":3}',
    );
    expect(memberText('{"__proto__":2}', '__proto__')).toBe('2');
  });

  it('replaces a value that ends right before a bracket, a comma or white space', () => {
    for (const value of ['1e-7', 'null', 'true', '""', '"\\\\"', '[]', '{}', '[[],{"]":"["}]']) {
      expect(setMembers(`{"a":${value}}`, { a: '0' })).toBe('{"a":0}');
      expect(setMembers(`{"a":${value},"b":${value}\t}`, { b: '0' })).toBe(
        `{"a":${value},"b":0\t}`,
      );
    }
  });
});

describe('reading members of a JSON text', () => {
  it('gives the span of each top-level value', () => {
    const members = topLevelMembers(body);
    expect([...members.keys()]).toEqual([
      'model',
      'messages',
      'seed',
      'temperature',
      'stream',
      'a',
    ]);
    const { start, end } = members.get('seed')!;
    expect(body.slice(start, end)).toBe('12345678901234567890');
  });

  it('reads the last of duplicates, and undefined where there is none', () => {
    expect(memberText('{"a":1,"b":2,"\\u0061": [3 ] }', 'a')).toBe('[3 ]');
    expect(memberText('{"a":{"b":1}}', 'b')).toBeUndefined();
    expect(topLevelMembers('{}').size).toBe(0);
  });

  it.each([
    '',
    '[]',
    '"{}"',
    '1',
    '{',
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,',
    '{"a":"',
    '{"a":[{',
    '{a:1}',
  ])('refuses %j, which it should never be given', (text) => {
    expect(() => topLevelMembers(text)).toThrow(TypeError);
  });

  it('takes a body that is deeply nested or full of escapes without pain', () => {
    const deep = `{"a":${'['.repeat(500_000)}${']'.repeat(500_000)},"b":1}`;
    expect(memberText(deep, 'b')).toBe('1');
    const escapes = `{"a":"${'\\\\'.repeat(500_000)}","c":"${'\\"'.repeat(500_000)}","b":2}`;
    expect(memberText(escapes, 'b')).toBe('2');
  });
});

describe('a JSON text in a single line', () => {
  it('is the same text where it has no line break', () => {
    const text = '{"a":"x\\ny", "b":1}';
    expect(singleLine(text)).toBe(text);
  });

  it('keeps the value', () => {
    const text = '{\r\n  "a": [1,\n2\r],\n\n"b"\n:\n"x\\r\\n\u2028y"}\n';
    expect(singleLine(text)).not.toMatch(/[\r\n]/);
    expect(JSON.parse(singleLine(text))).toEqual(JSON.parse(text));
  });
});

describe('readableMembers', () => {
  it('gives the members that are whole, and whether the object broke off behind them', () => {
    const found = (text: string) => {
      const { members, isCut } = readableMembers(text);
      return { ...Object.fromEntries(members), isCut };
    };
    expect(found('{"a":1, "b" : [] }')).toEqual({ a: '1', b: '[]', isCut: false });
    expect(found('{"a":1,"b":[],"c":"x')).toEqual({ a: '1', b: '[]', isCut: true });
    expect(found('plain text')).toEqual({ isCut: true });
    expect(found('{"a":1}{"b":2}')).toEqual({ a: '1', isCut: false });
  });
});

describe('withoutMember', () => {
  it.each([
    ['{"a":1,"b":{"a":2},"c":3}', '{"b":{"a":2},"c":3}'],
    ['{ "b":1.0 , "a":null }', '{"b":1.0 }'],
    ['{"a":1}', '{}'],
    ['{"a":1,"b":2,"a":3}', '{"b":2}'],
    ['{"b":"a"}', '{"b":"a"}'],
    ['{}', '{}'],
  ])('%s', (text, expected) => {
    expect(withoutMember(text, 'a')).toBe(expected);
  });
});

describe('a long text', () => {
  const filler = [
    `"${'x'.repeat(70_000)}"`,
    `"${String.raw`\"`.repeat(40_000)}"`,
    `"${String.raw`\\`.repeat(40_000)}"`,
    '7'.repeat(70_000),
    `${' '.repeat(70_000)}7`,
    `[${'{"a":"]"},'.repeat(8000)}{}]`,
  ];

  it.each(filler)('is read and changed like a short one, again and again (%#)', (value) => {
    const long = (model: string) =>
      `{ "model":"${model}" , "x": ${value} ,"model":"${model}", "n":2 }`;
    for (const text of [long('a'), long('b'), long('a')]) {
      const model = text === long('b') ? 'b' : 'a';
      expect(memberText(text, 'n')).toBe('2');
      expect(memberText(text, 'model')).toBe(`"${model}"`);
      expect(memberText(text, 'x')).toBe(value.trimStart());
      expect([...topLevelMembers(text).keys()]).toEqual(['model', 'x', 'n']);
      expect(setMembers(text, { model: '"c"', seed: '1' })).toBe(
        `${long('c').slice(0, -2)},"seed":1 }`,
      );
      expect(withoutMember(text, 'model')).toBe(`{"x": ${value},"n":2 }`);
    }
    expect(memberText(long('c'), 'model')).toBe('"c"');
  });

  it('that breaks off gives the members before that', () => {
    const { members, isCut } = readableMembers(`{"a":1,"b":"${'x'.repeat(70_000)}`);
    expect([...members]).toEqual([['a', '1']]);
    expect(isCut).toBe(true);
    expect(() => memberText(`{"a":1,"b":"${'x'.repeat(70_000)}`, 'a')).toThrow(TypeError);
  });
});

it.each([
  ['[]', []],
  [' [ ] ', []],
  ['[1 , "a,]" ,{"b":[2,3]}, [[]] ,null]', ['1', '"a,]"', '{"b":[2,3]}', '[[]]', 'null']],
  ['{"a":[1]}', []],
  ['"[1]"', []],
])('the items of %s are %j', (text, items) => {
  expect([...itemTexts(text)]).toEqual(items);
});
