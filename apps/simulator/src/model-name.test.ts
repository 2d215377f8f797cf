import { describe, expect, it } from 'vitest';
import { BEHAVIOURS } from './catalogue.ts';
import { parseModelName } from './model-name.ts';

function known(model: string) {
  const parsed = parseModelName(model);
  if (parsed.kind !== 'known') throw new Error(parsed.message);
  return parsed;
}

describe('the grammar of simulated model names', () => {
  it('reads a behaviour alone, with every key at its default', () => {
    expect(known('healthy').options).toMatchObject({ tokens: 60, pace: 0, first: 0, eol: 'lf' });
  });

  it('reads keys and values', () => {
    const { options } = known('healthy:tokens=7,pace=20,first=5,eol=crlf,unicode=1');
    expect(options).toMatchObject({ tokens: 7, pace: 20, first: 5, eol: 'crlf', unicode: 1 });
  });

  it('gives a behaviour its own defaults, which a key replaces', () => {
    expect(known('s09').options).toMatchObject({ after: 20, silence: 30_000 });
    expect(known('s09:silence=50').options).toMatchObject({ after: 20, silence: 50 });
  });

  it('reads bytes as the size of the answer for big, and as the packet size elsewhere', () => {
    expect(known('big:bytes=1000').options).toMatchObject({ size: 1000, bytes: 0 });
    expect(known('healthy:bytes=3').options).toMatchObject({ bytes: 3 });
  });

  it('has all sixteen faults of the catalogue', () => {
    const ids = Array.from({ length: 16 }, (_, index) => `s${String(index + 1).padStart(2, '0')}`);
    expect(Object.keys(BEHAVIOURS)).toEqual(expect.arrayContaining(ids));
  });

  it.each([
    ['gpt-4o', 'this simulated provider knows healthy, tools'],
    ['toString', 'does not exist'],
    ['', 'does not exist'],
    ['healthy:', "no key ''"],
    ['healthy:speed=3', "no key 'speed'; it knows tokens"],
    ['healthy:after=3', "no key 'after'"],
    ['healthy:tokens', 'expected a value after ='],
    ['healthy:tokens=', 'expected 0 or a whole number from 1 to 200000'],
    ['healthy:tokens=-1', 'whole number'],
    ['healthy:tokens=1e3', 'whole number'],
    ['healthy:tokens=999999', 'whole number'],
    ['healthy:tokens=1,tokens=2', 'twice'],
    ['healthy:eol=both', 'expected one of lf, crlf, cr'],
    ['healthy:tokens=1,', "no key ''"],
    ['status:code=99', 'from 200 to 599'],
    ['status:error=nonsense', 'expected one of usual, invalid_request'],
    ['s01:key=a b', 'a word'],
  ])('refuses %j and says what is known', (model, message) => {
    expect(parseModelName(model)).toEqual({
      kind: 'unknown',
      message: expect.stringContaining(message),
    });
  });
});
