import { expect, it } from 'vitest';
import { parseOptions } from './options.ts';
import { planOf } from './plan.ts';

function labels(...argv: string[]): string[] {
  const options = parseOptions(argv);
  if (options === 'help') throw new Error('help');
  return planOf(options).map(({ label }) => label);
}

it('all cases run when none is named, in three rounds, without peers', () => {
  expect(parseOptions([])).toMatchObject({ rounds: 3, systems: ['direct', 'bare', 'millrace'] });
  expect(labels()).toEqual(['c1', 'load c=64', 'load c=200', 'streams n=300']);
  expect(labels('streams', '--full')).toEqual(['streams n=300', 'streams n=1000']);
});

it('peers come last, and direct is always there', () => {
  expect(parseOptions(['--peers'])).toMatchObject({
    systems: ['direct', 'bare', 'millrace', 'portkey'],
  });
  expect(parseOptions(['--systems', 'millrace'])).toMatchObject({
    systems: ['direct', 'millrace'],
  });
});

it.each([
  [['nosuch'], /no case named nosuch/],
  [['--rounds', '0'], /--rounds 0/],
  [['--rounds', 'x'], /--rounds x/],
  [['--systems', 'nginx'], /no system named nginx/],
  [['--soak', 'x'], /--soak x/],
  [['--nosuch'], /nosuch/],
])('%j is refused with a reason', (argv, reason) => {
  expect(() => parseOptions(argv)).toThrow(reason);
});
