import { describe, expect, it } from 'vitest';
import { createJsonMeter, jsonExcess } from './json-bounds.ts';

const bounds = { depth: 10, values: 50 };

/** A request body with something in it. */
const around = (value: string) => `{"model":"m","messages":[{"role":"user"}],"x":${value}}`;
const marks = 9;

describe('A JSON text is measured before it is parsed', () => {
  it.each([
    ['objects', '{"a":', '}'],
    ['arrays', '[', ']'],
  ])('so %s nested to the bound are taken, and no deeper', (_, open, close) => {
    const nested = (levels: number) =>
      around(open.repeat(levels - 1) + '1' + close.repeat(levels - 1));
    expect(jsonExcess(nested(10), bounds)).toBeUndefined();
    expect(jsonExcess(nested(11), bounds)).toBe('depth');
    expect(jsonExcess(nested(100_000), bounds)).toBe('depth');
  });

  it.each([
    ['numbers', '1', 1],
    ['empty arrays', '[]', 2],
    ['strings', '"a,b:[{"', 1],
    ['objects', '{"a":1}', 3],
  ])('so a list of %s is taken up to the bound, and no longer', (_, item, cost) => {
    const most = Math.floor((bounds.values - marks) / cost);
    const list = (length: number) => around(`[${Array(length).fill(item).join(',')}]`);
    expect(jsonExcess(list(most), bounds)).toBeUndefined();
    expect(jsonExcess(list(most + 1), bounds)).toBe('values');
    expect(jsonExcess(list(100_000), bounds)).toBe('values');
  });

  it('so an object is taken up to the bound on its members, and no larger', () => {
    const object = (members: number) =>
      around(`{${Array.from({ length: members }, (_, i) => `"k${i}":1`).join(',')}}`);
    expect(jsonExcess(object(20), bounds)).toBeUndefined();
    expect(jsonExcess(object(22), bounds)).toBe('values');
  });

  it.each([
    ['one long string', `"${'a'.repeat(10_000)}"`],
    ['escaped quotes', `"${'\\"'.repeat(5000)}"`],
    ['backslashes before the end', `"${'\\\\'.repeat(5000)}"`],
    ['brackets in a string', `"${'[{'.repeat(5000)}\\\\"`],
    ['one long number', '1'.repeat(10_000)],
    ['white space', `${' \n'.repeat(5000)}1`],
    ['Chinese text', `"${'漢字'.repeat(5000)}"`],
  ])('so %s costs no more than one value', (_, value) => {
    expect(jsonExcess(around(value), bounds)).toBeUndefined();
  });

  it('wherever it is cut into pieces', () => {
    const text = around(String.raw`["\\","\"[[[[[[[[[[[","é\\\"",{"a\"":[1,2]},"\u005b"]`);
    const bytes = Buffer.from(text);
    const deep = Buffer.from(around('["\\\\",[[[[[[[[[[1]]]]]]]]]]'));
    for (let size = 1; size < bytes.length; size++) {
      const measure = (all: Buffer) => {
        const meter = createJsonMeter(bounds);
        for (let at = 0; at < all.length; at += size) meter.push(all.subarray(at, at + size));
        return meter.push(Buffer.alloc(0));
      };
      expect(measure(bytes)).toBeUndefined();
      expect(measure(deep)).toBe('depth');
    }
  });

  it('and no text that is broken makes it throw or loop', () => {
    for (const text of [']]]]]]]]]]]]', '"'.repeat(101), '\\'.repeat(101), '\u0000{"'.repeat(99)]) {
      expect(['depth', 'values', undefined]).toContain(jsonExcess(text, bounds));
    }
  });
});
