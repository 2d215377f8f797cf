import { expect, it } from 'vitest';
import { type Options, parseOptions } from './options.ts';
import { planOf } from './compare/plan.ts';

function labels(...argv: string[]): string[] {
  const options = parseOptions(argv);
  if (options === 'help') throw new Error('help');
  return planOf(options).map(({ label }) => label);
}

it('all cases run when none is named, in three rounds, without peers', () => {
  expect(parseOptions([])).toMatchObject({ rounds: 3, systems: ['direct', 'bare', 'millrace'] });
  expect(labels('c1', 'load')).toEqual(['c1', 'load c=64', 'load c=200']);
});

it('streams are of two lengths, as many as asked for', () => {
  const usual = ['n=150 x 64', 'n=300 x 64', 'n=150 x 400', 'n=300 x 400'];
  expect(labels('streams')).toEqual(usual.map((each) => `streams ${each}`));
  expect(labels('streams', '--full')).toContain('streams n=1000 x 400');
  expect(labels('streams', '--streams', '50,80', '--chunks', '400')).toEqual([
    'streams n=50 x 400',
    'streams n=80 x 400',
  ]);
});

it('peers are measured when asked for, and direct is always there', () => {
  expect(parseOptions(['--peers'])).toMatchObject({
    systems: ['direct', 'nginx', 'bare', 'millrace', 'portkey'],
  });
  expect(parseOptions(['--systems', 'millrace'])).toMatchObject({
    systems: ['direct', 'millrace'],
  });
});

it('a page without cases has those that compare systems', () => {
  const { cases } = parseOptions(['--page', 'x.md']) as Options;
  expect(cases).toEqual(['c1', 'load', 'streams', 'ladder', 'agents', 'memory', 'idle', 'density']);
  expect(parseOptions(['c1', '--page', 'x.md'])).toMatchObject({ cases: ['c1'] });
});

it('the open loops come after the capacity that they are shares of', () => {
  expect(labels('ladder')).toEqual([
    'capacity',
    'open 20 %',
    'open 40 %',
    'open 60 %',
    'open 80 %',
  ]);
});

it.each([
  [['nosuch'], /no case named nosuch/],
  [['--rounds', '0'], /--rounds 0/],
  [['--rounds', 'x'], /--rounds x/],
  [['--systems', 'apache'], /no system named apache/],
  [['--from', 'x.json'], /--from FILE/],
  [['--soak', 'x'], /--soak x/],
  [['--streams', '0'], /--streams 0/],
  [['--chunks', '64,65'], /--chunks 64,65/],
  [['--nosuch'], /nosuch/],
])('%j is refused with a reason', (argv, reason) => {
  expect(() => parseOptions(argv)).toThrow(reason);
});
