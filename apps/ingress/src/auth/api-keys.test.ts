import { createHash, timingSafeEqual } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { createKeyVerifier, maySee, mayUse } from './api-keys.ts';
import type { Credentials, Key } from './api-keys.ts';

// As it is, and counted.
vi.mock(import('node:crypto'), async (load) => {
  const crypto = await load();
  return { ...crypto, timingSafeEqual: vi.fn<typeof timingSafeEqual>(crypto.timingSafeEqual) };
});

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

const key = (id: string, more: Partial<Key> = {}): Key => ({
  id,
  secrets: [{ sha256: sha256(`secret-of-${id}`) }],
  models: ['*'],
  ips: [],
  ...more,
});

const ask = (more: Partial<Credentials> = {}): Credentials => ({
  authorization: undefined,
  apiKey: undefined,
  address: '127.0.0.1',
  ...more,
});

describe('without keys', () => {
  const verifyKey = createKeyVerifier(undefined);

  it.each(['127.0.0.1', '127.8.9.10', '::1', '::ffff:127.0.0.1'])('%s may enter', (address) => {
    expect(verifyKey(ask({ address }))).toMatchObject({
      kind: 'admitted',
      principal: { keyId: undefined, models: ['*'], admin: false },
    });
  });

  it.each(['192.0.2.2', '10.0.0.1', '0.0.0.0', '::', '::ffff:192.0.2.2', 'fe80::1', '128.0.0.1'])(
    '%s may not',
    (address) => {
      expect(verifyKey(ask({ address }))).toEqual({ kind: 'refused', reason: 'loopback_only' });
    },
  );

  it('nobody may whose address is not known', () => {
    expect(verifyKey(ask({ address: '' })).kind).toBe('refused');
  });

  it('a key does not matter', () => {
    expect(verifyKey(ask({ authorization: 'Bearer none' })).kind).toBe('admitted');
  });
});

describe('with keys', () => {
  const verifyKey = createKeyVerifier([key('a', { models: ['small'] }), key('b')]);
  const admitted = (keyId: string) => ({ kind: 'admitted', principal: { keyId } });

  it('the secret says which one it is, as bearer token or as x-api-key', () => {
    expect(verifyKey(ask({ authorization: 'Bearer secret-of-a' }))).toMatchObject(admitted('a'));
    expect(verifyKey(ask({ authorization: 'bearer  secret-of-b ' }))).toMatchObject(admitted('b'));
    expect(verifyKey(ask({ apiKey: 'secret-of-b' }))).toMatchObject(admitted('b'));
  });

  it('the bearer token is what counts where both are sent', () => {
    const both = { authorization: 'Bearer secret-of-a', apiKey: 'secret-of-b' };
    expect(verifyKey(ask(both))).toMatchObject(admitted('a'));
    expect(verifyKey(ask({ ...both, authorization: 'Bearer wrong' })).kind).toBe('refused');
  });

  it.each([
    [undefined, undefined],
    ['', ''],
    ['Bearer', undefined],
    ['Bearer ', undefined],
    ['Basic c2VjcmV0LW9mLWE6', undefined],
    ['secret-of-a', undefined],
  ])('authorization %j and x-api-key %j are no key', (authorization, apiKey) => {
    expect(verifyKey(ask({ authorization, apiKey }))).toEqual({
      kind: 'refused',
      reason: 'no_key',
    });
  });

  it.each(['secret-of-c', 'secret-of-', 'SECRET-OF-A', 'secret-of-a\0', '*'])(
    '%j is an unknown one',
    (apiKey) => {
      expect(verifyKey(ask({ apiKey }))).toEqual({ kind: 'refused', reason: 'unknown_key' });
    },
  );

  it('a very long one is an unknown one', () => {
    const refused = { kind: 'refused', reason: 'unknown_key' };
    expect(verifyKey(ask({ apiKey: 'x'.repeat(10_000) }))).toEqual(refused);
    expect(verifyKey(ask({ apiKey: 'x'.repeat(100_000_000) }))).toEqual(refused);
    expect(verifyKey(ask({ authorization: `Bearer ${' '.repeat(100_000)}` })).kind).toBe('refused');
    expect(verifyKey(ask({ apiKey: `secret-of-a${' '.repeat(10_000)}` }))).toEqual(refused);
  });

  it('one that was taken out of the config opens nothing any more', () => {
    const authorization = 'Bearer secret-of-a';
    expect(verifyKey(ask({ authorization })).kind).toBe('admitted');
    expect(createKeyVerifier([key('b')])(ask({ authorization }))).toEqual({
      kind: 'refused',
      reason: 'unknown_key',
    });
  });

  it('being on loopback opens nothing', () => {
    expect(verifyKey(ask({ address: '::1' })).kind).toBe('refused');
  });

  it('any address may come where the key names none', () => {
    expect(verifyKey(ask({ apiKey: 'secret-of-b', address: '203.0.113.9' }))).toMatchObject(
      admitted('b'),
    );
  });
});

describe('the addresses of a key', () => {
  const ips = ['10.1.0.0/16', '192.0.2.7', '2001:db8::/32', '::1'];
  const verifyKey = createKeyVerifier([key('a', { ips })]);
  const from = (address: string) => verifyKey(ask({ apiKey: 'secret-of-a', address }));

  it.each(['10.1.0.0', '10.1.255.255', '192.0.2.7', '::ffff:10.1.2.3', '2001:db8:ffff::1', '::1'])(
    'let %s in',
    (address) => {
      expect(from(address).kind).toBe('admitted');
    },
  );

  it.each(['10.2.0.0', '192.0.2.8', '127.0.0.1', '2001:db9::1', '::2', '::ffff:10.2.0.1'])(
    'keep %s out',
    (address) => {
      expect(from(address)).toEqual({ kind: 'refused', reason: 'address', keyId: 'a' });
    },
  );

  it('are not told to who has no key at all', () => {
    expect(verifyKey(ask({ apiKey: 'wrong', address: '203.0.113.9' }))).toEqual({
      kind: 'refused',
      reason: 'unknown_key',
    });
  });
});

describe('several secrets of a key', () => {
  const now = 1000;
  const secrets = [
    { sha256: sha256('oldest'), until: now },
    { sha256: sha256('older'), until: now + 1 },
    { sha256: sha256('newest') },
  ];
  const verdict = (more: Partial<Key>, apiKey: string) =>
    createKeyVerifier([key('a', { secrets, ...more }), key('b')], [], () => now)(ask({ apiKey }));

  it('are valid until their times', () => {
    const { secretSha256 } = { secretSha256: sha256('older') };
    const principal = { keyId: 'a', models: ['*'], admin: false, secretSha256 };
    expect(verdict({}, 'older')).toEqual({ kind: 'admitted', principal });
    expect(verdict({}, 'newest')).toMatchObject({ kind: 'admitted' });
    expect(verdict({}, 'oldest')).toEqual({ kind: 'refused', reason: 'old_secret', keyId: 'a' });
  });

  it.each([
    [{ revokedAt: 1 }, 'revoked_key'],
    [{ revokedAt: 1, expiresAt: 1 }, 'revoked_key'],
    [{ expiresAt: now }, 'expired_key'],
    [{ expiresAt: now, ips: ['10.0.0.0/8'] }, 'expired_key'],
  ])('open nothing for a key with %j: %s', (more, reason) => {
    for (const secret of ['oldest', 'older', 'newest']) {
      expect(verdict(more, secret)).toEqual({ kind: 'refused', reason, keyId: 'a' });
    }
    expect(verdict(more, 'secret-of-b').kind).toBe('admitted');
  });

  it('open up to the millisecond before the key expires', () => {
    expect(verdict({ expiresAt: now + 1 }, 'newest').kind).toBe('admitted');
  });
});

it('the verifier distinguishes keys whose digests have the same prefix', () => {
  const shared = sha256('secret-of-a').slice(0, 12);
  const near = { ...key('near'), secrets: [{ sha256: shared + sha256('x').slice(12) }] };
  const verifyKey = createKeyVerifier([near, key('a'), { ...near, id: 'nearer' }]);
  expect(verifyKey(ask({ apiKey: 'secret-of-a' }))).toMatchObject({ principal: { keyId: 'a' } });
});

it('an empty set of keys opens nothing, not even to this machine', () => {
  const verifyKey = createKeyVerifier([]);
  expect(verifyKey(ask())).toEqual({ kind: 'refused', reason: 'no_key' });
  expect(verifyKey(ask({ apiKey: 'any' }))).toEqual({ kind: 'refused', reason: 'unknown_key' });
});

it('a check of one key among 5000 compares as many digests as among one, also if none is right', () => {
  const many = Array.from({ length: 5000 }, (_, i) => key(`key-${i}`));
  const compared = (keys: Key[], apiKey: string) => {
    const verifyKey = createKeyVerifier(keys);
    vi.mocked(timingSafeEqual).mockClear();
    const { kind } = verifyKey(ask({ apiKey }));
    return [kind, vi.mocked(timingSafeEqual).mock.calls.length];
  };
  for (const keys of [many, many.slice(-1)]) {
    expect(compared(keys, 'secret-of-key-4999')).toEqual(['admitted', 1]);
    expect(compared(keys, 'secret-of-nobody')).toEqual(['refused', 1]);
  }
});

describe('a principal', () => {
  const principal = (keyId: string | undefined, models: string[], admin = false) => ({
    keyId,
    models,
    admin,
  });

  it('may use the aliases it names, or all', () => {
    expect(mayUse(principal('a', ['small']), 'small')).toBe(true);
    expect(mayUse(principal('a', ['small']), 'large')).toBe(false);
    expect(mayUse(principal('a', ['small']), '*')).toBe(false);
    expect(mayUse(principal('a', ['*']), 'large')).toBe(true);
    expect(mayUse(principal('a', []), 'small')).toBe(false);
  });

  it('may see its own requests; an admin sees all', () => {
    expect(maySee(principal('a', ['*']), { keyId: 'a' })).toBe(true);
    expect(maySee(principal('a', ['*']), { keyId: 'b' })).toBe(false);
    expect(maySee(principal('a', ['*']), {})).toBe(false);
    expect(maySee(principal(undefined, ['*']), {})).toBe(true);
    expect(maySee(principal(undefined, ['*']), { keyId: 'a' })).toBe(false);
    expect(maySee(principal(undefined, [], true), { keyId: 'a' })).toBe(true);
  });
});

describe('a gate without keys', () => {
  const verifyKey = createKeyVerifier(undefined);
  const address = '127.0.0.1';

  it.each([
    {},
    { host: 'localhost:8080' },
    { host: '127.0.0.1:8080', origin: 'http://localhost:3000' },
    { host: '[::1]:8080' },
    { host: 'app.localhost' },
  ])('lets in who speaks to this machine by its own name: %j', (more) => {
    expect(verifyKey({ authorization: undefined, apiKey: undefined, address, ...more }).kind).toBe(
      'admitted',
    );
  });

  it.each([
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { host: 'rebound.example:8080' },
    { host: '10.0.0.1' },
  ])('refuses pages of other sites, and names that were made to point here: %j', (more) => {
    expect(verifyKey({ authorization: undefined, apiKey: undefined, address, ...more })).toEqual({
      kind: 'refused',
      reason: 'foreign_page',
    });
  });
});

it('a gate without keys does not know who is behind a proxy', () => {
  const verifyKey = createKeyVerifier(undefined, ['*']);
  const refused = { kind: 'refused', reason: 'untrusted_proxy' };
  expect(verifyKey(ask({ forwarded: true }))).toEqual(refused);
  expect(verifyKey(ask({ forwarded: true, address: '::1', host: 'localhost' }))).toEqual(refused);
  expect(verifyKey(ask({ forwarded: true, address: '10.0.0.1' }))).toMatchObject({
    reason: 'loopback_only',
  });
  const withKey = createKeyVerifier([key('a')]);
  const authorization = 'Bearer secret-of-a';
  expect(withKey(ask({ forwarded: true, authorization })).kind).toBe('admitted');
});

it('a gate without keys lets in the pages that the config names, and no others', () => {
  const from = (origins: string[], origin: string, host = 'localhost:8080') =>
    createKeyVerifier(undefined, origins)(ask({ origin, host })).kind;
  expect(from(['https://app.example'], 'https://app.example')).toBe('admitted');
  expect(from(['https://app.example'], 'https://evil.example')).toBe('refused');
  expect(from(['*'], 'https://any.example')).toBe('admitted');
  expect(from(['*'], 'https://any.example', 'rebound.example')).toBe('refused');
});
