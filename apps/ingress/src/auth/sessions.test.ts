import { createHash } from 'node:crypto';
import { createSessionKeys, sessionKey } from './session-keys.ts';
import { describe, expect, test } from 'vitest';
import {
  longestSessionMs,
  newSession,
  renewed,
  sessionMs,
  setCookie,
  signSession,
  verifySession,
} from './sessions.ts';

const adminOf = (password: string, user = 'ops') => ({
  user,
  passwordSha256: createHash('sha256').update(password).digest('hex'),
});
const keyOf = (password: string, user = 'ops', secret = 'of the fleet') =>
  sessionKey(adminOf(password, user), secret);
const key = keyOf('pass');
const now = Date.parse('2026-11-30T12:00:00Z');
const cookieAt = (time: number) => `millrace_session=${signSession(newSession(time), key)}`;

describe('a session', () => {
  test('is valid in every process with the same admin, for twelve hours', () => {
    const session = { startedAt: now, expiresAt: now + sessionMs };
    const other = keyOf('pass');
    expect(verifySession(cookieAt(now), other, now)).toEqual({ kind: 'valid', session });
    expect(verifySession(cookieAt(now), other, now + sessionMs - 1).kind).toBe('valid');
    expect(verifySession(cookieAt(now), other, now + sessionMs)).toEqual({ kind: 'expired' });
  });

  test('ends with another password or another user', () => {
    expect(verifySession(cookieAt(now), keyOf('other'), now)).toEqual({ kind: 'forged' });
    expect(verifySession(cookieAt(now), keyOf('pass', 'dev'), now)).toEqual({ kind: 'forged' });
  });

  test('is of one fleet: the password alone signs none', () => {
    const elsewhere = keyOf('pass', 'ops', 'of another fleet');
    expect(verifySession(cookieAt(now), elsewhere, now)).toEqual({ kind: 'forged' });
    expect(verifySession(cookieAt(now), undefined, now)).toEqual({ kind: 'forged' });
  });

  test('is found among other cookies, also of the same name', () => {
    const cookies = `theme=dark; millrace_session=x;${cookieAt(now)} ; a=b`;
    expect(verifySession(cookies, key, now).kind).toBe('valid');
    expect(verifySession(`x${cookieAt(now)}`, key, now)).toEqual({ kind: 'absent' });
    expect(verifySession(undefined, key, now)).toEqual({ kind: 'absent' });
  });

  test('is renewed once an hour of use, and ends a week after its login', () => {
    const session = newSession(now);
    expect(renewed(session, now + 3_599_999)).toBeUndefined();
    const hour = now + 3_600_000;
    expect(renewed(session, hour)).toEqual({ startedAt: now, expiresAt: hour + sessionMs });
    const end = now + longestSessionMs;
    const late = { startedAt: now, expiresAt: end - 3_600_000 };
    expect(renewed(late, end - 7_200_000)).toEqual({ startedAt: now, expiresAt: end });
    expect(renewed({ startedAt: now, expiresAt: end }, end - 1)).toBeUndefined();
  });
});

test('no changed character leaves the signature valid', () => {
  const cookie = cookieAt(now);
  const value = cookie.slice('millrace_session='.length);
  for (let i = 0; i < value.length; i += 1) {
    for (const other of ['0', 'A', '.', '']) {
      if (value[i] === other) continue;
      const changed = `${value.slice(0, i)}${other}${value.slice(i + 1)}`;
      // The last character of the signature has two bits that mean nothing.
      const isSame = Buffer.from(changed.slice(-43), 'base64url').equals(
        Buffer.from(value.slice(-43), 'base64url'),
      );
      if (isSame && changed.slice(0, -43) === value.slice(0, -43)) continue;
      expect(verifySession(`millrace_session=${changed}`, key, now)).toEqual({ kind: 'forged' });
    }
  }
});

test.each(['', 'v1', 'v1...', 'null', 'v1.0.zzzzzzzzzzz.', 'x'.repeat(10_000), 'é', '%00'])(
  'a value that no ingress wrote is refused: %j',
  (value) => {
    const cookies = `millrace_session=${value}`;
    expect(verifySession(cookies, key, now)).toEqual({ kind: 'forged' });
  },
);

test('the cookie is hidden from scripts and from other sites, and from plain HTTP if it came over TLS', () => {
  const session = newSession(now);
  const value = signSession(session, key);
  const plain = setCookie(session, { key, isTls: false, now });
  expect(plain).toBe(
    `millrace_session=${value}; Max-Age=43200; Path=/admin; HttpOnly; SameSite=Strict`,
  );
  expect(setCookie(session, { key, isTls: true, now })).toBe(`${plain}; Secure`);
  expect(setCookie(undefined, { key, isTls: false, now })).toMatch(
    /^millrace_session=; Max-Age=0; Path=\/admin;/,
  );
});

describe('the key of sessions', () => {
  const admin = adminOf('pass');
  let secret: string | Error = 'of the fleet';
  let reads = 0;
  let time = 0;
  const errors: unknown[] = [];
  const make = () =>
    createSessionKeys({
      async readSecret() {
        reads += 1;
        if (secret instanceof Error) throw secret;
        return secret;
      },
      onError: (error) => errors.push(error),
      now: () => time,
    });

  test('is there once the secret was read, and goes on while Redis is away', async () => {
    const keys = make();
    expect(keys.keyOf(admin)).toBeUndefined();
    await keys.refresh();
    expect(keys.keyOf(admin)).toEqual(key);
    secret = new Error('Redis is away');
    await expect(keys.refresh()).rejects.toThrow('away');
    time += 1000;
    await keys.refreshRarely();
    expect(errors).toEqual([secret]);
    expect(keys.keyOf(admin)).toEqual(key);
    secret = 'of Redis without its data';
    await keys.refresh();
    expect(keys.keyOf(admin)).toEqual(keyOf('pass', 'ops', secret));
  });

  test('is read at most once a second for cookies that are not valid', async () => {
    const keys = make();
    time += 1000;
    reads = 0;
    await Promise.all(Array.from({ length: 100 }, () => keys.refreshRarely()));
    expect(reads).toBe(1);
    time += 1000;
    await keys.refreshRarely();
    expect(reads).toBe(2);
  });
});
