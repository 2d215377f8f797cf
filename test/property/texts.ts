import fc from 'fast-check';

/* What answers are made of: words, Unicode, what looks like markup, lists, and texts that repeat themselves. */

const pieces = [
  'the ',
  'answer ',
  'and ',
  'so ',
  'on',
  '. ',
  '\n',
  '\n\n',
  '\r\n',
  '  ',
  '\t',
  '- ',
  '| a | b |\n',
  '"',
  "'",
  '“',
  '”',
  '’',
  '«',
  '`',
  '\\',
  '\u2028',
  '\u00a0',
  'é',
  'e\u0301',
  '漢字',
  '🙂',
  '👩‍👩‍👧',
  'مرحبا ',
  '{"a":',
  '"content":"',
  'data: ',
  '[DONE]',
  'null',
];

const word = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...pieces) },
  { weight: 3, arbitrary: fc.string({ minLength: 1, maxLength: 9 }).map((text) => `${text} `) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 4 }) },
);
export const words = (maxLength: number) =>
  fc.noBias(fc.array(word, { maxLength, size: 'max' })).map((all) => all.join(''));

const repeated = fc
  .tuple(words(5), fc.integer({ min: 2, max: 30 }), words(4))
  .map(([phrase, times, rest]) => phrase.repeat(times) + rest);
const list = fc
  .tuple(fc.array(words(3), { minLength: 2, maxLength: 12 }), fc.constantFrom('- ', '1. ', '| '))
  .map(([items, mark]) => items.map((item) => `${mark}${item}\n`).join(''));

/** Words as a model writes them, with places that can be told apart. */
const prose = fc
  .tuple(fc.noBias(fc.integer({ min: 1, max: 80 })), fc.nat({ max: 1000 }), words(3))
  .map(([count, seed, spice]) =>
    Array.from({ length: count }, (_, i) =>
      i % 7 === 3
        ? spice + i
        : ['flow', 'river', 'stone', 'mill', 'race'][(i * 7 + seed + (i % 3)) % 5],
    ).join(' '),
  );

export const text = fc.oneof(
  { weight: 5, arbitrary: prose },
  { weight: 3, arbitrary: words(60) },
  { weight: 1, arbitrary: words(3) },
  { weight: 1, arbitrary: repeated },
  { weight: 1, arbitrary: list },
);
