import {
  memberText,
  setMembers,
  singleLine,
  topLevelMembers,
} from '@millrace/shared/domain/json-text';
import fc from 'fast-check';
import { expect, it } from 'vitest';

/*
 * JSON texts with random white space, random spellings of numbers and strings, and names that come
 * again. The parts of a text are kept, so that the text wanted can be put together byte for byte
 * without reading it.
 *
 * No name begins with a backslash: after parsing one, Node 24's JSON.parse misreads escapes at the
 * start of later names (nodejs/node#63785). Ours reads them right, but has nothing to show it by.
 */

const space = fc
  .array(fc.constantFrom(' ', '\n', '\r', '\t', '\r\n'), { maxLength: 2 })
  .map((parts) => parts.join(''));

const stringText = fc
  .array(
    fc.oneof(
      fc
        .string({ unit: 'grapheme', maxLength: 6 })
        .map((value) => JSON.stringify(value).slice(1, -1)),
      fc.constantFrom(
        '\\"',
        '\\\\',
        '\\n',
        '\\u006f',
        '\\ud83d\\ude42',
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
      ),
      fc.constantFrom('\\/', '\u2028', '"model": 1'.replaceAll('"', '\\"')),
    ),
    { maxLength: 4 },
  )
  .map((parts) => `"${parts.join('')}"`);

const scalarText = fc.oneof(
  stringText,
  fc.constantFrom(
    'null',
    'true',
    'false',
    '0',
    '-0',
    '1.0',
    '-1e-7',
    '1E+2',
    '12345678901234567890',
  ),
);

const nameText = fc.oneof(
  fc.constantFrom('"model"', '"m\\u006fdel"', '"stream"', '"stream_options"', '"__proto__"', '"1"'),
  fc.constantFrom('"model\\\\"', '"\\"model"', '""', '"MODEL"', '"toString"'),
  stringText.filter((name) => !name.startsWith('"\\\\')),
);

const { valueText } = fc.letrec<{ valueText: string }>((tie) => {
  const padded = fc.tuple(space, tie('valueText'), space).map((parts) => parts.join(''));
  const member = fc.tuple(space, nameText, space, fc.constant(':'), padded).map((p) => p.join(''));
  return {
    valueText: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      scalarText,
      fc
        .tuple(fc.array(padded, { maxLength: 4 }), space)
        .map(([items, empty]) => (items.length > 0 ? `[${items.join(',')}]` : `[${empty}]`)),
      fc
        .tuple(fc.array(member, { maxLength: 4 }), space)
        .map(([items, empty]) => (items.length > 0 ? `{${items.join(',')}}` : `{${empty}}`)),
    ),
  };
});

interface Member {
  /** Up to the value: white space, name, colon. */
  head: string;
  name: string;
  value: string;
  tail: string;
}

interface Body {
  lead: string;
  members: Member[];
  inner: string;
  trail: string;
}

const body: fc.Arbitrary<Body> = fc.record({
  lead: space,
  members: fc.array(
    fc
      .tuple(space, nameText, space, space, valueText, space)
      .map(([before, name, gap, after, value, tail]) => ({
        head: `${before}${name}${gap}:${after}`,
        name: JSON.parse(name) as string,
        value,
        tail,
      })),
    { maxLength: 7 },
  ),
  inner: space,
  trail: space,
});

function print({ lead, members, inner, trail }: Body): string {
  const text = members.map(({ head, value, tail }) => head + value + tail).join(',');
  return `${lead}{${text === '' ? inner : text}}${trail}`;
}

/** Without the prototype's traps: a Map, the last of duplicates. */
const parsed = (text: string) => new Map<string, unknown>(Object.entries(JSON.parse(text)));

const edits = fc.dictionary(
  fc.constantFrom('model', 'stream', 'stream_options', 'max_tokens', 'toString', '1'),
  valueText,
  { noNullPrototype: true, maxKeys: 4 },
);

function wanted(original: Body, set: Record<string, string>): string {
  const members = original.members.map((member) =>
    Object.hasOwn(set, member.name) ? { ...member, value: set[member.name]! } : { ...member },
  );
  const added = Object.entries(set)
    .filter(([name]) => !members.some((member) => member.name === name))
    .map(([name, value]) => `${JSON.stringify(name)}:${value}`)
    .join(',');
  if (added === '') return print({ ...original, members });
  const last = members.at(-1);
  if (!last) return `${original.lead}{${added}${original.inner}}${original.trail}`;
  last.value += `,${added}`;
  return print({ ...original, members });
}

it('setting members changes their values and no other byte, whatever the text looks like', () => {
  fc.assert(
    fc.property(body, edits, (original, set) => {
      const text = print(original);
      const result = setMembers(text, set);
      expect(result).toBe(wanted(original, set));
      const values = Object.entries(set).map(([name, value]) => [name, JSON.parse(value)] as const);
      expect(parsed(result)).toEqual(new Map([...parsed(text), ...values]));
    }),
    { numRuns: 2000 },
  );
});

it('each top-level member reads as JSON.parse reads it', () => {
  fc.assert(
    fc.property(body, (original) => {
      const text = print(original);
      const spans = topLevelMembers(text);
      const values = [...spans].map(([name, { start, end }]) => {
        expect(text.slice(start, end)).toBe(memberText(text, name));
        expect(text.slice(start, end).trim()).toBe(text.slice(start, end));
        return [name, JSON.parse(text.slice(start, end))] as const;
      });
      expect(new Map(values)).toEqual(parsed(text));
    }),
    { numRuns: 2000 },
  );
});

it('the same holds for what JSON.stringify prints', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(4), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      fc.pre(!text.includes('"\\\\'));
      const members = [...topLevelMembers(text)].map(
        ([name, { start, end }]) => [name, JSON.parse(text.slice(start, end))] as const,
      );
      expect(new Map(members)).toEqual(parsed(text));
    }),
  );
});

it('a single line has no line break and the same value', () => {
  fc.assert(
    fc.property(body, (original) => {
      const text = print(original);
      const line = singleLine(text);
      expect(line).not.toMatch(/[\r\n]/);
      expect(JSON.parse(line)).toEqual(JSON.parse(text));
    }),
    { numRuns: 2000 },
  );
});
