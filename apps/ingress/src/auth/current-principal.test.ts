import { expect, test } from 'vitest';
import { createCurrentPrincipal } from './current-principal.ts';

type Keys = { id: string; models: string[] }[] | undefined;

function setUp(first: Keys) {
  let keys = first;
  const current = createCurrentPrincipal(() => keys);
  return { current, replace: (next: Keys) => void (keys = next) };
}

const principal = (keyId?: string, admin = false) => ({ keyId, models: ['old'], admin });

test('a principal has the models of its key as it is now, and is none without it', () => {
  const { current, replace } = setUp([{ id: 'a', models: ['old'] }]);
  expect(current(principal('a'))).toEqual(principal('a'));
  replace([{ id: 'a', models: ['new'] }]);
  expect(current(principal('a'))).toEqual({ ...principal('a'), models: ['new'] });
  replace([{ id: 'b', models: ['*'] }]);
  expect(current(principal('a'))).toBeUndefined();
  replace(undefined);
  expect(current(principal('a'))).toBeUndefined();
});

test('a principal without a key is one only while no key is needed', () => {
  const { current, replace } = setUp(undefined);
  expect(current(principal())).toEqual(principal());
  replace([{ id: 'a', models: ['*'] }]);
  expect(current(principal())).toBeUndefined();
});

test('an admin needs no key', () => {
  const { current } = setUp([{ id: 'a', models: ['*'] }]);
  expect(current(principal(undefined, true))).toEqual(principal(undefined, true));
});
