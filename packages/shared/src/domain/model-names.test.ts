import { describe, expect, it } from 'vitest';
import { configuredTarget, mayStandFor, serveModel, standsFor, targetsOf } from './model-names.ts';

const models = {
  'g-*': 0,
  'gpt-4o': 1,
  'openai/*': 2,
  'openai/gpt-5': 3,
  'openai/ft:*': 4,
  'local/*': 5,
};

describe('a name that a client asks for', () => {
  it.each([
    ['gpt-4o', 'gpt-4o', undefined],
    ['openai/gpt-5', 'openai/gpt-5', undefined],
    ['openai/gpt-5-mini', 'openai/*', 'gpt-5-mini'],
    ['openai/ft:gpt-4o:acme::1', 'openai/ft:*', 'gpt-4o:acme::1'],
    ['local/org/model.gguf', 'local/*', 'org/model.gguf'],
    ["openai/$'", 'openai/*', "$'"],
    ['openai/a..b/.c', 'openai/*', 'a..b/.c'],
  ])('%s is served by %s', (name, alias, rest) => {
    expect(serveModel(models, name)).toMatchObject({ alias, rest });
  });

  it.each([
    'gpt-4',
    'openai/',
    'openai/*',
    'openai/a*b',
    'openai/a b',
    'openai/a\r\nb: c',
    'openai/ü',
    'openai/..',
    'openai/../files',
    'openai/a/./b',
    'openai/%2e%2e/x',
    'openai/<b>?a#c',
    // The rest begins in the middle of a segment.
    'g-../../v1/files',
    `openai/${'x'.repeat(250)}`,
    'constructor',
    '',
  ])('%j is served by none', (name) => {
    expect(serveModel(models, name)).toBeUndefined();
  });

  it('is served by "*" if nothing else serves it', () => {
    const all = { ...models, '*': 6 };
    expect(serveModel(all, 'claude')).toMatchObject({ alias: '*', rest: 'claude' });
    expect(serveModel(all, 'openai/o1')).toMatchObject({ alias: 'openai/*' });
  });
});

const target = (model: string, provider = 'p') => ({ provider, model });

it('the rest of a name takes the place of the "*" of each target, whatever characters it has', () => {
  const targets = [target('*'), target('openai/*'), target('fixed'), target('ft:*-latest')];
  expect(targetsOf(targets, '$&$1').map(({ model }) => model)).toEqual([
    '$&$1',
    'openai/$&$1',
    'fixed',
    'ft:$&$1-latest',
  ]);
  expect(targetsOf(targets, undefined)).toEqual(targets);
});

it('a target is found in the config by its exact name, else by the longest "*"', () => {
  const targets = [target('*'), target('fixed'), target('a/*', 'q')];
  expect(configuredTarget(targets, target('fixed'))).toBe(targets[1]);
  expect(configuredTarget(targets, target('other'))).toBe(targets[0]);
  expect(configuredTarget(targets, target('a/b', 'q'))).toBe(targets[2]);
  expect(configuredTarget(targets, target('a/', 'q'))).toBeUndefined();
  const several = [target('*'), target('gpt-5-*')];
  expect(configuredTarget(several, target('gpt-5-pro'))).toBe(several[1]);
  expect(configuredTarget(targets, target('b', 'q'))).toBeUndefined();
});

it.each([
  ['*', 'anything', true],
  ['gpt-4o', 'gpt-4o', true],
  ['gpt-4o', 'gpt-4o-mini', false],
  ['gpt-*', 'gpt-4o-mini', true],
  ['openai/*', 'anthropic/x', false],
])('an entry %s of a key and the model %s: %s', (listed, name, is) => {
  expect(standsFor(listed, name)).toBe(is);
});

it.each([
  ['*', true],
  ['gpt-4o', true],
  ['gpt-*', true],
  ['openai/*', true],
  ['openai/gpt-4*', true],
  ['openai/o1', true],
  ['open*', true],
  ['openai/', false],
  ['claude', false],
  ['claude-*', false],
  ['*-4o', false],
])('an entry %s of a key may stand for a model of the config: %s', (listed, may) => {
  expect(mayStandFor(listed, Object.keys(models))).toBe(may);
});
