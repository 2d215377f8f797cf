import { expect, test } from 'vitest';
import { refuse } from '../errors.ts';
import type { Refused } from '../errors.ts';
import type { Principal } from './api-keys.ts';
import { createKeyUsers } from './key-users.ts';

const of = (keyId: string | undefined): Principal => ({ keyId, models: [], admin: false });
const revoked = { ...refuse('api_key_revoked'), params: { countAs: 'key_ended' } };

function world() {
  const over = new Set<string | undefined>();
  const errors: unknown[] = [];
  const clock = { now: 0, nextEnd: Infinity };
  const users = createKeyUsers(
    {
      whyEnded: ({ keyId }) => (over.has(keyId) ? revoked : undefined),
      nextEnd: () => clock.nextEnd,
    },
    (error) => errors.push(error),
    () => clock.now,
  );
  const ended: [string, Refused][] = [];
  const add = (name: string, keyId: string | undefined) =>
    users.add(of(keyId), (refused) => ended.push([name, refused]));
  const open = (name: string, keyId = name) => add(name, keyId);
  return { over, errors, clock, users, ended, add, open };
}

test('a check ends everything that a key has open once, and nothing else', () => {
  const { over, users, ended, add, open } = world();
  open('a1', 'a');
  open('b');
  open('a2', 'a');
  add('keyless', undefined);
  users.check();
  expect(ended).toEqual([]);
  over.add('a').add(undefined);
  users.check();
  users.check();
  expect(ended).toEqual([
    ['a1', revoked],
    ['a2', revoked],
  ]);
  expect(users.size).toBe(1);
});

test('an answer that is over is not ended', () => {
  const { over, users, ended, open } = world();
  open('a').remove();
  over.add('a');
  users.check();
  expect(ended).toEqual([]);
});

test('one that opens with a key that ended meanwhile is ended behind its opening', async () => {
  const { over, ended, open } = world();
  over.add('a');
  open('a');
  const left = open('a');
  left.remove();
  expect(ended).toEqual([]);
  await new Promise(setImmediate);
  expect(ended).toHaveLength(1);
});

test('a tick looks only when the next end has come', () => {
  const { over, clock, users, ended, open } = world();
  clock.nextEnd = 50;
  users.check();
  open('a');
  over.add('a');
  clock.now = 49;
  users.tick();
  expect(ended).toEqual([]);
  clock.now = 50;
  users.tick();
  expect(ended).toHaveLength(1);
});

test('an error while one is ended does not keep the others', () => {
  const { over, users, errors, ended, open } = world();
  users.add(of('a'), () => {
    throw new Error('broken');
  });
  open('a');
  over.add('a');
  users.check();
  expect(ended).toHaveLength(1);
  expect(errors).toHaveLength(1);
});
