import { expect, test } from 'vitest';
import { recipesFor, shellWord } from './recipes.ts';

const awkward = `a'b"c $HOME \`id\` \\ x`;

const access = { origin: 'https://api.example:8443', key: 'mr-secret', model: 'chat' };

test.each(recipesFor(access))('the recipe $id has the address and the key', ({ text }) => {
  expect(text).toContain('https://api.example:8443/v1');
  expect(text).toContain('mr-secret');
});

test.each([
  ['', "''"],
  ['http://127.0.0.1:8080/v1', 'http://127.0.0.1:8080/v1'],
  ['two words', "'two words'"],
  ['$HOME `id`', "'$HOME `id`'"],
  ["it's", "'it'\\''s'"],
])('%j is the word %s of a shell', (text, word) => {
  expect(shellWord(text)).toBe(word);
});

test('a name of a model with quotes stays a string in code', () => {
  const found = recipesFor({ ...access, key: awkward, model: awkward }).filter(({ id }) =>
    ['vercel', 'openai-node'].includes(id),
  );
  expect(found).toHaveLength(2);
  for (const { text } of found) expect(text).toContain(JSON.stringify(awkward));
});
