import { describe, expect, it } from 'vitest';
import { rendezvous, stickyValue } from './sticky.ts';

describe('the sticky value', () => {
  it.each([
    ['{"user":"u1","messages":[{"user":"no"}]}', 'user', '"u1"'],
    ['{"metadata": {"a":1, "session" : "s 7"}}', 'metadata.session', '"s 7"'],
    ['{"seed":12345678901234567890}', 'seed', '12345678901234567890'],
    ['{"store":false}', 'store', 'false'],
    ['{"messages":[]}', 'user', undefined],
    ['{"user":null}', 'user', undefined],
    ['{"user":""}', 'user', undefined],
    ['{"user":{"id":1}}', 'user', undefined],
    ['{"user":["a"]}', 'user', undefined],
    ['{"metadata":"text"}', 'metadata.session', undefined],
    ['{"metadata":[{"session":1}]}', 'metadata.session', undefined],
    ['{"metadata":{}}', 'metadata.session.id', undefined],
  ])('of %s at %s is %s', (body, path, value) => {
    expect(stickyValue(body, path)).toBe(value);
  });
});

describe('rendezvous hashing', () => {
  const target = (model: string, weight = 1) => ({ provider: 'p', model, weight });
  const three = [target('a'), target('b'), target('c')];
  const values = Array.from({ length: 3000 }, (_, index) => `"user-${index}"`);
  const owners = (targets: ReturnType<typeof target>[]) =>
    values.map((value) => rendezvous(targets, value)[0]?.model);

  it('finds the same order for the same value, however the targets are listed', () => {
    for (const value of values.slice(0, 100)) {
      expect(rendezvous(three.toReversed(), value)).toEqual(rendezvous(three, value));
    }
  });

  it('moves only the share of a target that is lost', () => {
    const before = owners(three);
    const after = owners(three.filter(({ model }) => model !== 'b'));
    const moved = before.filter((owner, index) => owner !== after[index]);
    expect(new Set(moved)).toEqual(new Set(['b']));
    expect(moved.length).toBe(before.filter((owner) => owner === 'b').length);
  });

  it('gives each target its weight', () => {
    const of = owners([target('a', 3), target('b', 1)]).filter((owner) => owner === 'a').length;
    expect(of / values.length).toBeGreaterThan(0.72);
    expect(of / values.length).toBeLessThan(0.78);
  });
});
