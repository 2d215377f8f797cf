import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import type { Key } from './api-keys.ts';
import { createReadTokens } from './read-tokens.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const key = (id: string, secret: string, ips: string[] = []): Key => ({
  id,
  secrets: [{ sha256: sha256(secret) }],
  models: ['*'],
  ips,
});
const keys = [key('team-é', 'one'), key('b', 'two'), key('inside', 'three', ['10.0.0.0/8'])];
const tokensOf = (keys: Key[]) => createReadTokens(new Map(keys.map((one) => [one.id, one])));
const tokens = tokensOf(keys);
const asked = { id: 'req_1', address: '192.0.2.1', now: 1_000_000 };
const later = 2_000;

test('a token is good for its stream, on any ingress with the same keys, as its key without a model', () => {
  const token = tokens.sign('team-é', 'req_1', later) ?? '';
  const other = tokensOf([key('new', 'four'), ...keys]);
  expect(other.verify(token, asked)).toMatchObject({
    keyId: 'team-é',
    models: [],
    admin: false,
  });
  expect(encodeURIComponent(token)).toBe(token);
});

test('a token is good for nothing else', () => {
  const token = tokens.sign('b', 'req_1', later) ?? '';
  const [version, , expiry, signature] = token.split('.');
  const odd = [
    '',
    'x',
    `${token}x`,
    token.slice(0, -1),
    token.replace(/.$/, (last) => (last === 'A' ? 'E' : 'A')),
    [version, Buffer.from('inside').toString('base64url'), expiry, signature].join('.'),
    [version, Buffer.from('nobody').toString('base64url'), expiry, signature].join('.'),
    token.replace('.2000.', '.9000.'),
    token.replace(/^1/, '2'),
  ];
  for (const one of odd) expect([one, tokens.verify(one, asked)]).toEqual([one, 'unknown']);
  expect(tokens.verify(token, { ...asked, id: 'req_2' })).toBe('unknown');
  expect(tokens.verify(token, { ...asked, now: later * 1000 })).toBe('expired');
});

test('a token ends with its key, and with its secret', () => {
  const token = tokens.sign('b', 'req_1', later) ?? '';
  expect(tokensOf([key('team-é', 'one')]).verify(token, asked)).toBe('unknown');
  expect(tokensOf([key('b', 'changed')]).verify(token, asked)).toBe('unknown');
  expect(tokens.sign('nobody', 'req_1', later)).toBeUndefined();
});

test('a token is signed with the secret that was shown, and ends with it; without one with the newest', () => {
  const [old, fresh] = [sha256('old'), sha256('new')];
  const rotated = (until?: number): Key => ({
    ...key('b', 'new'),
    secrets: [{ sha256: old, ...(until !== undefined && { until }) }, { sha256: fresh }],
  });
  const present = tokensOf([rotated(Date.now() + 60_000)]);
  const byOld = present.sign('b', 'req_1', later, old) ?? '';
  const byNew = present.sign('b', 'req_1', later, fresh) ?? '';
  expect(present.sign('b', 'req_1', later)).toBe(byNew);
  expect(present.verify(byOld, asked)).toMatchObject({ keyId: 'b', secretSha256: old });
  expect(present.verify(byNew, asked)).toMatchObject({ keyId: 'b', secretSha256: fresh });
  const over = tokensOf([rotated(asked.now)]);
  expect(over.verify(byOld, asked)).toBe('old_secret');
  expect(over.verify(byNew, asked)).toMatchObject({ keyId: 'b' });
  expect(over.sign('b', 'req_1', later, old)).toBeUndefined();
  expect(present.sign('b', 'req_1', later, sha256('none'))).toBeUndefined();
});

test('a token is bound to the addresses of its key', () => {
  const token = tokens.sign('inside', 'req_1', later) ?? '';
  expect(tokens.verify(token, asked)).toBe('address');
  expect(tokens.verify(token, { ...asked, address: '10.1.2.3' })).toMatchObject({
    keyId: 'inside',
  });
});
