import { createServer } from 'node:https';
import type { ServerOptions } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { makeCertificate, makeServer } from '../../../../../test/kit/certificates.ts';
import { ask, listen, startPool, until } from './pool.fixture.ts';

const { authority, server } = makeServer();
const other = makeCertificate({ name: 'Other Authority', isAuthority: true });
const ca = authority.cert;

const https = (options: ServerOptions) =>
  listen(createServer(options, (_request, response) => response.end('ok')));

/** The outcome of one request to a server with these certificates. */
async function outcomeOf(options: ServerOptions, more: Partial<Parameters<typeof startPool>[0]>) {
  await using at = await https(options);
  using pool = startPool({ ...at, ca, ...more });
  return await ask(pool).outcome;
}

describe('a certificate', () => {
  test('of a trusted authority is good, for a name and for an address', async () => {
    expect(await outcomeOf(server, {})).toBe('200 ok');
    expect(await outcomeOf(server, { host: 'localhost' })).toBe('200 ok');
  });

  test('that has expired', async () => {
    const old = { name: 'old', issuer: authority, hosts: ['127.0.0.1'], from: -9, until: -2 };
    expect(await outcomeOf(makeCertificate(old), {})).toMatch(
      /^upstream_tls_failed: The provider's certificate is not valid: it has expired.*CN=old, valid until .*CERT_HAS_EXPIRED/,
    );
  });

  test('for another name', async () => {
    const hosts = ['elsewhere.example'];
    const wrong = makeCertificate({ name: 'elsewhere', issuer: authority, hosts });
    expect(await outcomeOf(wrong, {})).toMatch(
      /^upstream_tls_failed: .*expected a certificate for 127.0.0.1, found one for DNS:elsewhere.example/,
    );
  });

  test('that signs itself', async () => {
    const own = makeCertificate({ name: 'own', hosts: ['127.0.0.1'] });
    expect(await outcomeOf(own, {})).toMatch(/^upstream_tls_failed: .*self-signed one \(CN=own\)/);
  });

  test('of an unknown authority', async () => {
    expect(await outcomeOf(server, { ca: other.cert })).toMatch(
      /^upstream_tls_failed: .*expected a known authority, found CN=Test Authority/,
    );
  });
});

describe('pins', () => {
  const middle = makeCertificate({ name: 'Middle', issuer: authority, isAuthority: true });
  const leaf = makeCertificate({ name: 'leaf', issuer: middle, hosts: ['127.0.0.1'] });
  const chain = { key: leaf.key, cert: leaf.cert + middle.cert };

  test.each([
    ['the server', leaf],
    ['an issuer', middle],
    ['the root', authority],
  ])('of %s match, also when the session is resumed', async (_, { pin }) => {
    await using at = await https({ ...chain, maxVersion: 'TLSv1.2' });
    using pool = startPool({ ...at, ca, pins: [other.pin, pin] });
    for (let i = 0; i < 3; i++) {
      expect(await ask(pool).outcome).toBe('200 ok');
      for (const socket of at.open()) socket.end();
      await until(() => pool.stats().size === 0);
    }
    expect(pool.stats().handshakes).toEqual({ tls: 3, resumed: 2 });
  });

  test('that do not match say what was expected and what was found', async () => {
    const outcome = await outcomeOf(chain, { pins: [other.pin] });
    expect(outcome).toMatch(/^upstream_tls_failed: The provider's certificate is not pinned: /);
    const found = [leaf, middle, authority].map(({ pin }) => `sha256/${pin}`).join(', ');
    expect(outcome).toContain(`expected sha256/${other.pin}, found ${found}.`);
  });

  test('are not fooled by a pinned certificate that is only sent along', async () => {
    // The name of the issuer is right, the key is the pinned one; but it signed nothing. It has
    // expired, so that OpenSSL passes it over where it checks signatures; node puts it in the chain.
    const issuer = makeCertificate({ name: 'Twin', issuer: authority, isAuthority: true });
    const expired = { from: -9, until: -2 };
    const twin = makeCertificate({
      name: 'Twin',
      issuer: authority,
      isAuthority: true,
      ...expired,
    });
    const signed = makeCertificate({ name: 'leaf', issuer, hosts: ['127.0.0.1'] });
    const sent = { key: signed.key, cert: signed.cert + twin.cert + issuer.cert };
    expect(await outcomeOf(sent, {})).toBe('200 ok');
    expect(await outcomeOf(sent, { pins: [twin.pin] })).toMatch(/not pinned: expected/);
  });
});

test('a version below the lowest is refused', async () => {
  expect(await outcomeOf({ ...server, maxVersion: 'TLSv1.2' }, { minVersion: '1.3' })).toMatch(
    /^upstream_tls_failed: /,
  );
});

describe('a client certificate', () => {
  const client = makeCertificate({ name: 'client', issuer: authority });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('is asked for, %s', async (version) => {
    const options = { ...server, ca, requestCert: true, minVersion: version, maxVersion: version };
    expect(await outcomeOf(options, { client })).toBe('200 ok');
    expect(await outcomeOf(options, {})).toMatch(
      /^upstream_tls_failed: .*refused our certificate, or wants one \(providers\.\*\.tls\.cert\)/,
    );
  });
});

test('sessions are resumed with TLS 1.3 as well', async () => {
  await using at = await https(server);
  using pool = startPool({ ...at, ca, minVersion: '1.3' });
  for (let i = 0; i < 3; i++) {
    expect(await ask(pool).outcome).toBe('200 ok');
    for (const socket of at.open()) socket.end();
    await until(() => pool.stats().size === 0);
  }
  expect(pool.stats().handshakes).toEqual({ tls: 3, resumed: 2 });
  expect(pool.events.map(({ resumed }) => resumed)).toEqual([false, true, true]);
});

test('a server that speaks no TLS', async () => {
  await using at = await listen(
    createTcpServer((socket) => socket.on('data', () => socket.write('HTTP/1.1 400 Bad\r\n\r\n'))),
  );
  using pool = startPool({ ...at, ca });
  expect(await ask(pool).outcome).toMatch(/^upstream_tls_failed: .*ERR_SSL_/);
});

test('a handshake without an answer ends with the time for connecting', async () => {
  await using at = await listen(createTcpServer((socket) => socket.resume()));
  using pool = startPool({ ...at, ca, connectTimeoutMs: 100 });
  expect(await ask(pool).outcome).toBe(
    'upstream_connect_timeout: The provider did not answer in time: TLS was not there after 100 ms.',
  );
  await until(() => at.open().length === 0);
  expect(pool.stats().connectFailures).toEqual({ upstream_connect_timeout: 1 });
});

test('a handshake that is cut off did not reach the provider', async () => {
  await using at = await listen(
    createTcpServer((socket) => socket.on('data', () => socket.resetAndDestroy())),
  );
  using pool = startPool({ ...at, ca });
  expect(await ask(pool).outcome).toMatch(/^upstream_unreachable: .*ECONNRESET/);
});
