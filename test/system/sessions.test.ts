import { createHash, randomInt } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sessionKey } from '../../apps/ingress/src/auth/session-keys.ts';
import { newSession, sessionMs, signSession } from '../../apps/ingress/src/auth/sessions.ts';
import { keyspace } from '@millrace/shared/store/keys';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf, jsonOf } from '../kit/http.ts';
import type { Ended, SendOptions } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';

// An operator's session in a browser, at the ingresses of a fleet whose config has an admin.

const passwordOf = (name: string) => `pass-${name}`;
let password = passwordOf('first');
const admin = () => ({
  user: 'ops',
  passwordSha256: createHash('sha256').update(password).digest('hex'),
});
const basic = (shown = password) => ({
  authorization: `Basic ${Buffer.from(`ops:${shown}`).toString('base64')}`,
});

/** The key that the fleet signs with. */
async function fleetKey(): Promise<Buffer> {
  const secret = await fleet.redis.connect().get(keyspace().sessionSecret());
  return sessionKey(admin(), secret ?? '');
}

let fleet: Fleet;

beforeAll(async () => {
  fleet = await startFleet({
    admin: true,
    workers: 0,
    ingresses: 2,
    models: { m: 'healthy' },
    config: {
      admin: { user: 'ops', password },
      keys: [{ id: 'a', secret: 'secret-a' }],
      listen: { trustedProxies: ['127.0.0.0/8'], cors: { origins: ['https://app.example'] } },
    },
  });
});
afterAll(() => fleet?.close());

const to = (path: string, options: SendOptions = {}, ingress = 0): Promise<Ended> =>
  call(`${fleet.ingresses[ingress]?.url}${path}`, options);

const logIn = (headers: Record<string, string> = {}, shown: object = { user: 'ops', password }) =>
  to('/admin/session', { body: shown, headers });

const setCookieOf = ({ headers }: Ended): string => headers['set-cookie']?.[0] ?? '';

/** The `Cookie` header of a browser that has logged in. */
async function session(): Promise<{ cookie: string }> {
  const answer = await logIn();
  expect(answer.status).toBe(204);
  return { cookie: setCookieOf(answer).split(';')[0] ?? '' };
}

const codeOf = (answer: Ended) => [answer.status, errorOf(answer).code];

/** The client's address that no other test has used. */
const newAddress = () => ({
  'x-forwarded-for': `198.51.${randomInt(256)}.${randomInt(256)}`,
});

const refusals = async (reason: string): Promise<number> =>
  sumOf(parsePrometheus((await to('/metrics')).text), 'millrace_refusals_total', { reason });

const browser = { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' };

describe('a login', () => {
  test('gives a cookie that every ingress takes for the password, and that no script can read', async () => {
    const answer = await logIn();
    expect(setCookieOf(answer)).toMatch(
      /^millrace_session=v1\.[\w.-]+; Max-Age=43200; Path=\/admin; HttpOnly; SameSite=Strict$/,
    );
    const cookie = setCookieOf(answer).split(';')[0] ?? '';
    for (const ingress of [0, 1]) {
      const shown = await to('/admin/session', { headers: { cookie } }, ingress);
      expect(shown.status).toBe(200);
      const view = jsonOf(shown) as { expires_at: string };
      expect(view).toMatchObject({
        user: 'ops',
        login_required: true,
        board: 'read-only',
        chaos: false,
      });
      const left = Date.parse(view.expires_at) - Date.now();
      expect(left).toBeGreaterThan(sessionMs - 60_000);
      expect((await to('/admin/fleet', { headers: { cookie } }, ingress)).status).toBe(200);
    }
  });

  test('gives a cookie for TLS alone where the browser reached a trusted proxy over TLS', async () => {
    const tls = await logIn({ 'x-forwarded-for': '203.0.113.9', 'x-forwarded-proto': 'https' });
    expect(setCookieOf(tls)).toContain('; Secure');
  });

  test('with a wrong password is refused, counted, and slowed for its address only', async () => {
    const from = newAddress();
    const before = await refusals('wrong_password');
    const wrong = { user: 'ops', password: 'wrong' };
    for (let i = 0; i < 5; i += 1) {
      const answer = await logIn(from, wrong);
      expect(codeOf(answer)).toEqual([401, 'wrong_password']);
      expect(answer.headers).not.toHaveProperty('www-authenticate');
      expect(answer.headers).not.toHaveProperty('set-cookie');
    }
    // The right password does not open either: a guess would be shown by it.
    const slowed = await logIn(from);
    expect(codeOf(slowed)).toEqual([429, 'too_many_logins']);
    expect(Number(slowed.headers['retry-after'])).toBeGreaterThan(0);
    expect((await logIn(newAddress())).status).toBe(204);
    expect(await refusals('wrong_password')).toBe(before + 5);
    await expect.poll(async () => (await logIn(from)).status).toBe(204);
  });

  test('and basic credentials share one limit of wrong passwords, on all paths', async () => {
    const from = newAddress();
    const get = (path: string, shown: string) =>
      to(path, { headers: { ...from, ...basic(shown) } });
    // A script with an old password is no guessing.
    for (let i = 0; i < 10; i += 1) {
      expect(codeOf(await get('/admin/fleet', 'of-before'))).toEqual([401, 'admin_only']);
    }
    expect((await get('/admin/fleet', password)).status).toBe(200);
    for (const guess of ['a', 'b']) expect((await get('/admin/fleet', guess)).status).toBe(401);
    expect((await get('/v1/models', 'c')).status).toBe(401);
    expect((await logIn(from, { user: 'ops', password: 'd' })).status).toBe(401);
    for (const path of ['/admin/fleet', '/v1/models']) {
      for (const shown of [password, 'e']) {
        const slowed = await get(path, shown);
        expect(codeOf(slowed)).toEqual([429, 'too_many_logins']);
        expect(Number(slowed.headers['retry-after'])).toBeGreaterThan(0);
      }
    }
    const headers = { ...from, ...(await session()) };
    expect((await to('/admin/fleet', { headers })).status).toBe(200);
    const again = async () => (await get('/admin/fleet', password)).status;
    await expect.poll(again).toBe(200);
  });

  test.each([
    [{ user: 'ops' }, 400],
    [{ user: 'ops', password: ['x'] }, 400],
    [{ user: 'ops', password: 'x', extra: 1 }, 400],
    [{ user: 'ops', password: 'x'.repeat(5000) }, 413],
  ])('that is none is a bad request: %o', async (body, status) => {
    expect((await logIn(newAddress(), body)).status).toBe(status);
  });

  test('and its end are in the audit log, without the cookie', async () => {
    const { cookie } = await session();
    const out = await to('/admin/session', { method: 'DELETE', headers: { cookie } });
    expect(out.status).toBe(204);
    expect(setCookieOf(out)).toMatch(/^millrace_session=; Max-Age=0; Path=\/admin;/);
    const actions = async () => {
      const answer = await to('/admin/audit?limit=1000', { headers: basic() });
      expect(answer.text).not.toContain(cookie.split('=')[1]);
      return (jsonOf(answer) as { data: { action: string }[] }).data.map(({ action }) => action);
    };
    await expect.poll(actions).toEqual(expect.arrayContaining(['session.start', 'session.end']));
  });
});

describe('a session', () => {
  const withCookie = (value: string) =>
    to('/admin/fleet', { headers: { cookie: `millrace_session=${value}`, ...browser } });

  test('that has expired, or that was changed, opens nothing', async () => {
    const now = Date.now();
    const key = await fleetKey();
    expect((await withCookie(signSession(newSession(now), key))).status).toBe(200);
    const old = signSession(newSession(now - sessionMs), key);
    const longer = old.replace(/\.\w+\./, `.${now.toString(36)}.`);
    // What the config has is not enough.
    const forged = signSession(newSession(now), sessionKey(admin(), ''));
    for (const value of [old, longer, forged, 'x', '']) {
      const answer = await withCookie(value);
      expect(codeOf(answer)).toEqual([401, 'session_expired']);
      expect(answer.headers).not.toHaveProperty('www-authenticate');
    }
  });

  test('is one of the new secret after Redis has lost the old one, at every ingress', async () => {
    const old = await session();
    await fleet.redis.connect().del(keyspace().sessionSecret());
    const headers = await session();
    for (const ingress of [0, 1]) {
      await expect
        .poll(async () => (await to('/admin/fleet', { headers }, ingress)).status)
        .toBe(200);
    }
    expect(codeOf(await to('/admin/fleet', { headers: old }, 1))).toEqual([401, 'session_expired']);
  });

  test('is renewed by its use, also at the control plane', async () => {
    const hours = Date.now() - 2 * 3_600_000;
    const answer = await withCookie(signSession(newSession(hours), await fleetKey()));
    expect(answer.status).toBe(200);
    const renewed = setCookieOf(answer).split(';')[0] ?? '';
    const view = await to('/admin/session', { headers: { cookie: renewed } });
    const { expires_at } = jsonOf(view) as { expires_at: string };
    expect(Date.parse(expires_at)).toBeGreaterThan(Date.now() + sessionMs - 60_000);
    expect(setCookieOf(view)).toBe('');
  });

  test('may do over the API what the admin may, but nothing in place of a key', async () => {
    const { cookie } = await session();
    const missing = await to('/v1/jobs/req_0_nothing', { headers: { cookie } });
    expect(missing.status).toBe(404);
    const wrongKey = { cookie, authorization: 'Bearer wrong' };
    expect((await to('/v1/models', { headers: wrongKey })).status).toBe(401);
  });

  test('ends with another password', async () => {
    const old = await session();
    const before = { ...basic() };
    password = passwordOf(String(randomInt(1e9)));
    await fleet.reconfigure({ admin: { user: 'ops', password } });
    await to('/admin/config/reload', { method: 'POST', headers: before });
    const newPassword = async () =>
      (await Promise.all([0, 1].map((i) => to('/admin/session', { headers: basic() }, i)))).map(
        ({ status }) => status,
      );
    await expect.poll(newPassword).toEqual([200, 200]);
    for (const ingress of [0, 1]) {
      const answer = await to('/admin/session', { headers: old }, ingress);
      expect(codeOf(answer)).toEqual([401, 'session_expired']);
    }
    expect((await to('/admin/session', { headers: await session() }, 1)).status).toBe(200);
  });
});

describe('a page of another site', () => {
  const foreign: Record<string, string>[] = [
    { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
    // Another port, or another name below the same domain: its requests have the cookie.
    { origin: 'http://localhost:3000', 'sec-fetch-site': 'same-site' },
    // A browser without `sec-fetch-site`, and a page that the API allows.
    { origin: 'https://evil.example' },
    { origin: 'https://app.example', 'sec-fetch-site': 'cross-site' },
    { origin: 'null' },
  ];

  test.each(foreign)(
    'changes nothing with a session, and logs nobody in or out: %o',
    async (from) => {
      const headers = { ...(await session()), ...from };
      for (const answer of [
        await to('/admin/config/reload', { method: 'POST', headers }),
        await to('/admin/keys', { method: 'POST', headers, body: { id: 'x' } }),
        await to('/admin/session', { method: 'DELETE', headers }),
        await logIn(from),
      ]) {
        expect(codeOf(answer)).toEqual([403, 'foreign_page']);
        expect(answer.headers).not.toHaveProperty('set-cookie');
      }
    },
  );

  test.each(foreign)('reads nothing, and shows nothing in a frame: %o', async (from) => {
    const headers = { ...(await session()), ...from };
    for (const path of ['/admin', '/admin/session', '/admin/fleet', '/admin/queues']) {
      const answer = await to(path, { headers });
      expect(answer.headers).not.toHaveProperty('access-control-allow-origin');
      expect(answer.headers['cross-origin-resource-policy']).toBe('same-origin');
      expect(answer.headers['content-security-policy']).toContain("frame-ancestors 'self'");
      expect(answer.headers['x-content-type-options']).toBe('nosniff');
    }
  });
});

describe('without a session', () => {
  test('the page of the console comes without a password, and nothing beside it', async () => {
    for (const path of ['/admin', '/admin/', '/admin/console', '/admin/console/assets/a-B1.js']) {
      const answer = await to(path);
      expect([path, answer.status === 401]).toEqual([path, false]);
      expect(answer.headers).not.toHaveProperty('www-authenticate');
    }
    for (const path of [
      '/admin/console/../keys',
      '/admin/console/%2e%2e/keys',
      '/admin/console%2f..%2fkeys',
      '/admin/console/a%2F..%2F..%2Fkeys',
      '/admin/console/..%5ckeys',
      '/admin/consoles',
      '/admin//keys',
    ]) {
      expect([path, (await to(path)).status]).toEqual([path, 401]);
    }
    expect((await to('/admin/console', { method: 'POST' })).status).toBe(401);
  });

  test('a browser is asked for a password by a page that it opens, and never by a request of the console', async () => {
    const challenge = async (headers: Record<string, string>) => {
      const answer = await to('/admin/fleet', { headers });
      expect(answer.status).toBe(401);
      return answer.headers['www-authenticate'];
    };
    const prompt = 'Basic realm="millrace"';
    expect(await challenge({})).toBe(prompt);
    const opened = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
    expect(await challenge(opened)).toBe(prompt);
    expect(await challenge({ ...opened, 'sec-fetch-dest': 'iframe' })).toBeUndefined();
    expect(await challenge({ 'x-millrace-console': '1' })).toBeUndefined();
    expect(await challenge(browser)).toBeUndefined();
    expect(await challenge({ ...browser, authorization: 'Basic eDp5' })).toBeUndefined();
  });
});

test('a fleet is not to be broken unless its config says so', async () => {
  const body = { action: 'kill-worker' };
  expect(codeOf(await to('/admin/chaos', { headers: basic(), body }))).toEqual([403, 'chaos_off']);
  expect((await to('/admin/chaos', { body })).status).toBe(401);
});

test('without an admin there is nothing to log in to, and this machine needs no session', async () => {
  await fleet.replaceIngress({ admin: undefined, keys: undefined }, { count: 2 });
  const view = await to('/admin/session');
  expect(jsonOf(view)).toMatchObject({ user: 'local', expires_at: null, login_required: false });
  expect(codeOf(await logIn())).toEqual([409, 'no_admin']);
  expect(codeOf(await to('/admin', { headers: newAddress() }))).toEqual([403, 'loopback_only']);
  expect(codeOf(await logIn(newAddress()))).toEqual([403, 'loopback_only']);
});
