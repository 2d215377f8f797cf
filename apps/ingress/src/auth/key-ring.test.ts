import { createHash } from 'node:crypto';
import type { KeyConfig } from '@millrace/shared/config';
import type { CreatedKey } from '@millrace/shared/store/api-keys/port';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Principal } from './api-keys.ts';
import { createKeyRing } from './key-ring.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const settings = { models: ['*'], ips: [], priority: 'normal' as const, weight: 1 };
const created = (id: string, more: Partial<CreatedKey> = {}): CreatedKey => ({
  ...settings,
  id,
  secrets: [{ sha256: sha256(`secret of ${id}`), createdAt: 0 }],
  createdAt: 0,
  ...more,
});
const ofConfig: KeyConfig = { ...settings, id: 'own', secretsSha256: [sha256('a'), sha256('b')] };

let now: number;
beforeEach(() => {
  now = 1000;
});
const ringOf = (keys?: KeyConfig[]) => createKeyRing({ keys, origins: [], now: () => now });
type Ring = ReturnType<typeof ringOf>;

const show = (ring: Ring, apiKey?: string, address = '127.0.0.1') =>
  ring.verify({ authorization: undefined, apiKey, address });
const admit = (ring: Ring, secret?: string): Principal => {
  const verdict = show(ring, secret);
  if (verdict.kind === 'refused') throw new Error(verdict.reason);
  return verdict.principal;
};

describe('a fleet without keys in its config', () => {
  test('asks this machine for no key until the first one is created', () => {
    const ring = ringOf();
    ring.replace([], false);
    expect(ring.isRequired()).toBe(false);
    expect(show(ring).kind).toBe('admitted');
    ring.replace([created('a')], true);
    expect(ring.isRequired()).toBe(true);
    expect(show(ring)).toEqual({ kind: 'refused', reason: 'no_key' });
    expect(show(ring, 'secret of a', '192.0.2.1').kind).toBe('admitted');
  });

  test('does not open when its last key is revoked or removed, nor when Redis has lost all of them', () => {
    const ring = ringOf();
    for (const [keys, ever] of [
      [[created('a', { revokedAt: 1 })], true],
      [[], true],
      [[], false],
    ] as const) {
      ring.replace(keys, ever);
      expect(show(ring)).toEqual({ kind: 'refused', reason: 'no_key' });
    }
    const restarted = ringOf();
    restarted.replace([], true);
    expect(show(restarted)).toEqual({ kind: 'refused', reason: 'no_key' });
  });

  test('takes no new request from a client that came without a key before the first one was created', () => {
    const ring = ringOf();
    const early = admit(ring);
    expect(ring.renew(early).kind).toBe('renewed');
    ring.replace([created('a')], true);
    expect(ring.renew(early)).toMatchObject({ kind: 'refused', code: 'invalid_api_key' });
    // What it has begun ends by itself.
    expect(ring.whyEnded(early)).toBeUndefined();
  });
});

test('keys of the config and created ones are valid side by side, and those of the config come first', () => {
  const ring = ringOf([ofConfig]);
  const namesake = created('own', { models: ['other'] });
  ring.replace([created('a'), namesake], true);
  for (const secret of ['a', 'b']) expect(admit(ring, secret).keyId).toBe('own');
  expect(admit(ring, 'secret of a').keyId).toBe('a');
  expect(show(ring, 'secret of own')).toMatchObject({ reason: 'unknown_key' });
  expect(ring.get('own')?.models).toEqual(['*']);
  expect(ring.size).toBe(2);
  ring.replace([], true);
  expect(admit(ring, 'a').keyId).toBe('own');
  expect(show(ring, 'secret of a').kind).toBe('refused');
});

test('created keys that cannot be used change nothing, and the next ones hold', () => {
  const ring = ringOf();
  ring.replace([created('a')], true);
  const broken = created('b', { secrets: [{ sha256: '', createdAt: 0 }] });
  expect(() => ring.replace([broken], true)).toThrow('outside buffer bounds');
  expect(admit(ring, 'secret of a').keyId).toBe('a');
  expect([ring.get('a')?.id, ring.get('b'), ring.size]).toEqual(['a', undefined, 1]);
  ring.configure([ofConfig]);
  expect(admit(ring, 'a').keyId).toBe('own');
  ring.replace([created('a', { revokedAt: 1 })], true);
  expect(show(ring, 'secret of a')).toMatchObject({ reason: 'revoked_key' });
});

test('keys of a config that is reloaded replace those before, beside the created ones', () => {
  const ring = ringOf([ofConfig]);
  ring.replace([created('a')], true);
  const principal = admit(ring, 'a');
  const narrowed = { ...ofConfig, models: ['small'] };
  ring.configure([narrowed]);
  expect(ring.renew(principal)).toMatchObject({ principal: { models: ['small'] } });
  ring.configure([{ ...ofConfig, id: 'next', secretsSha256: [sha256('c')] }]);
  expect(ring.whyEnded(principal)).toMatchObject({ code: 'invalid_api_key' });
  expect(show(ring, 'a').kind).toBe('refused');
  expect(['c', 'secret of a'].map((secret) => admit(ring, secret).keyId)).toEqual(['next', 'a']);
  expect(ring.size).toBe(2);
});

test('a config whose keys are gone opens a fleet to its own machine only if no key was ever created', () => {
  const ring = ringOf([ofConfig]);
  ring.replace([], false);
  ring.configure(undefined);
  expect([ring.isRequired(), show(ring).kind]).toEqual([false, 'admitted']);
  ring.configure([ofConfig]);
  expect(show(ring)).toEqual({ kind: 'refused', reason: 'no_key' });
  ring.replace([], true);
  ring.configure(undefined);
  expect(show(ring)).toEqual({ kind: 'refused', reason: 'no_key' });
});

describe('a principal that was admitted', () => {
  test('has the models that its key has by now', () => {
    const ring = ringOf();
    ring.replace([created('a', { models: ['small'] })], true);
    const principal = admit(ring, 'secret of a');
    ring.replace([created('a', { models: ['large'] })], true);
    expect(ring.renew(principal)).toMatchObject({ principal: { keyId: 'a', models: ['large'] } });
  });

  test.each([
    ['is revoked', { revokedAt: 5 }, 'api_key_revoked'],
    ['has expired', { expiresAt: 1000 }, 'api_key_expired'],
    ['has another secret', { secrets: [{ sha256: sha256('x'), createdAt: 1 }] }, 'invalid_api_key'],
    [
      'has another secret, and the old one is over',
      {
        secrets: [
          { sha256: sha256('secret of a'), createdAt: 0, until: 1000 },
          { sha256: sha256('x'), createdAt: 1 },
        ],
      },
      'invalid_api_key',
    ],
  ])('ends when its key %s', (_how, more, code) => {
    const ring = ringOf();
    ring.replace([created('a'), created('b')], true);
    const [ended, other] = ['a', 'b'].map((id) => admit(ring, `secret of ${id}`)) as [
      Principal,
      Principal,
    ];
    expect(ring.whyEnded(ended)).toBeUndefined();
    ring.replace([created('a', more), created('b')], true);
    expect(ring.whyEnded(ended)).toMatchObject({ code });
    expect(ring.renew(ended)).toMatchObject({ kind: 'refused', code });
    expect(ring.whyEnded(other)).toBeUndefined();
  });

  test('ends when its key is not there any more', () => {
    const ring = ringOf();
    ring.replace([created('a')], true);
    const principal = admit(ring, 'secret of a');
    ring.replace([], true);
    expect(ring.whyEnded(principal)).toMatchObject({ code: 'invalid_api_key' });
  });

  test('as an admin has no key that could end', () => {
    const ring = ringOf([ofConfig]);
    const admin = { keyId: undefined, models: [], admin: true };
    expect(ring.renew(admin)).toEqual({ kind: 'renewed', principal: admin });
    expect(ring.whyEnded(admin)).toBeUndefined();
  });
});

test('the next end is the earliest one to come of any key or secret', () => {
  const ring = ringOf();
  expect(ring.nextEnd(0)).toBe(Infinity);
  const secrets = [
    { sha256: sha256('x'), createdAt: 0, until: 70 },
    { sha256: sha256('y'), createdAt: 0 },
  ];
  ring.replace([created('a', { expiresAt: 90 }), created('b', { secrets, expiresAt: 80 })], true);
  expect([0, 69, 70, 80, 90].map(ring.nextEnd)).toEqual([70, 70, 80, 90, Infinity]);
});
