import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, loadConfig } from '@millrace/shared/config';
import type { ProviderConfig } from '@millrace/shared/config';
import { afterAll, expect, test } from 'vitest';
import { makeCertificate, makeServer } from '../../../../../test/kit/certificates.ts';
import { ask, listen, until } from './pool.fixture.ts';
import { createPools } from './pools.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace-pools-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** Providers as a config file has them. */
function providers(sections: Record<string, object>): Readonly<Record<string, ProviderConfig>> {
  const all = Object.entries(sections).map(([name, one]) => [name, { api: 'openai', ...one }]);
  const models = { m: { targets: [{ provider: Object.keys(sections)[0], model: 'x' }] } };
  const text = JSON.stringify({ providers: Object.fromEntries(all), models });
  const path = file('config.yaml', text);
  return loadConfig({ argv: ['--config', path], env: {}, role: 'worker' }).config.providers;
}

function problemsOf(tls: object): readonly string[] {
  try {
    createPools(providers({ here: { baseUrl: 'https://127.0.0.1', tls } })).close();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

test('two providers at one address have their own connections', async () => {
  await using at = await listen(createServer((_, response) => response.end('ok')));
  const baseUrl = `http://127.0.0.1:${at.port}/v1`;
  const pools = createPools(providers({ one: { baseUrl }, two: { baseUrl } }));
  expect(pools.of('three')).toBeUndefined();
  for (const name of ['one', 'two', 'one']) {
    expect(await ask(pools.of(name)!).outcome).toBe('200 ok');
  }
  expect(at.accepted).toHaveLength(2);
  const stats = pools.stats();
  expect([stats['one']?.requests, stats['two']?.requests]).toEqual([2, 1]);
  pools.close();
});

test('with certificates from files, warmed for the providers that are named', async () => {
  const { authority, server } = makeServer();
  const client = makeCertificate({ name: 'client', issuer: authority });
  const options = { ...server, ca: authority.cert, requestCert: true };
  await using at = await listen(createHttpsServer(options, (_, response) => response.end('ok')));
  const tls = {
    ca: file('ca.pem', authority.cert),
    cert: file('cert.pem', client.cert),
    key: file('key.pem', client.key),
    pins: [`sha256/${authority.pin}`],
  };
  const baseUrl = `https://127.0.0.1:${at.port}`;
  const events: unknown[] = [];
  const pools = createPools(providers({ one: { baseUrl, tls }, two: { baseUrl, tls } }), {
    onConnect: (provider, { inPath }) => events.push([provider, inPath]),
  });
  pools.warm(['two', 'two']);
  await until(() => pools.stats()['two']?.warm === 1);
  expect(await ask(pools.of('two')!).outcome).toBe('200 ok');
  expect(events).toEqual([['two', false]]);
  expect(pools.stats()['one']?.size).toBe(0);
  pools.close();
});

test('a changed provider gets a new pool; the old one ends its requests, and its connections close', async () => {
  const ends: (() => void)[] = [];
  const server = createServer((_, response) => {
    response.flushHeaders();
    ends.push(() => response.end('ok'));
  });
  await using at = await listen(server);
  const baseUrl = `http://127.0.0.1:${at.port}/v1`;
  const before = providers({ kept: { baseUrl }, changed: { baseUrl } });
  const pools = createPools(before);
  const [kept, changed] = [pools.of('kept')!, pools.of('changed')!];
  const under = ask(changed);
  const idle = ask(changed);
  await Promise.all([under.head, idle.head]);
  ends[1]?.();
  await idle.outcome;
  await until(() => pools.stats()['changed']?.idle === 1);

  const next = providers({ kept: { baseUrl }, changed: { baseUrl, apiKey: 'sk-new' } });
  const apply = pools.prepare(next);
  expect(pools.of('changed')).toBe(changed);
  apply();
  expect(pools.of('kept')).toBe(kept);
  expect(pools.of('changed')).not.toBe(changed);
  // The idle connection closes, the other one ends its answer.
  await until(() => at.open().length === 1);
  expect(pools.stats()['changed']).toMatchObject({ size: 1, active: 1, requests: 2 });
  // A run that began before may ask once more.
  const more = ask(changed);
  const fresh = ask(pools.of('changed')!);
  await Promise.all([more.head, fresh.head]);
  expect(pools.stats()['changed']).toMatchObject({ active: 3, requests: 4, connects: 4 });
  for (const end of ends) end();
  expect(await Promise.all([under, more, fresh].map(({ outcome }) => outcome))).toEqual([
    '200 ok',
    '200 ok',
    '200 ok',
  ]);
  await until(() => at.open().length === 1);
  pools.drop(changed);
  expect(await ask(changed).outcome).toMatch(/^upstream_unreachable/);
  pools.close();
  await until(() => at.open().length === 0);
});

test('a removed provider is shown while its connections carry requests', async () => {
  const ends: (() => void)[] = [];
  await using at = await listen(
    createServer((_, response) => {
      response.flushHeaders();
      ends.push(() => response.end('ok'));
    }),
  );
  const baseUrl = `http://127.0.0.1:${at.port}/v1`;
  const pools = createPools(providers({ kept: { baseUrl }, gone: { baseUrl } }));
  const { head, outcome } = ask(pools.of('gone')!);
  await head;
  pools.prepare(providers({ kept: { baseUrl } }))();
  expect(pools.of('gone')).toBeUndefined();
  expect(pools.stats()).toMatchObject({ gone: { active: 1 } });
  ends[0]?.();
  expect(await outcome).toBe('200 ok');
  await until(() => !('gone' in pools.stats()));
  pools.close();
});

test('a provider that cannot be used refuses the whole change', () => {
  const baseUrl = 'https://127.0.0.1';
  const pools = createPools(providers({ one: { baseUrl } }));
  const before = pools.of('one');
  const tls = { ca: join(folder, 'missing.pem') };
  const next = providers({ one: { baseUrl, apiKey: 'sk-new' }, two: { baseUrl, tls } });
  expect(() => pools.prepare(next)).toThrow(/providers\.two\.tls\.ca: cannot read/);
  expect([pools.of('one'), pools.of('two')]).toEqual([before, undefined]);
  pools.close();
});

test('a PEM file that is missing or broken is told before anything starts', () => {
  const { server } = makeServer();
  const cert = file('good.pem', server.cert);
  const key = file('good.key', server.key);
  const junk = file('junk.pem', 'no certificate at all');
  const half = file('half.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
  const other = file('other.key', makeServer().server.key);
  expect(problemsOf({ ca: cert, cert, key })).toEqual([]);
  const missing = join(folder, 'missing.pem');
  expect(problemsOf({ ca: missing })).toEqual([
    `providers.here.tls.ca: cannot read ${missing} (ENOENT)`,
  ]);
  for (const ca of [junk, half]) {
    expect(problemsOf({ ca })).toEqual([
      `providers.here.tls.ca: expected certificates in PEM form, found something else in ${ca}`,
    ]);
  }
  for (const bad of [junk, other]) {
    expect(problemsOf({ cert, key: bad })).toEqual([
      expect.stringMatching(/^providers\.here\.tls: expected a private key in PEM form/),
    ]);
  }
});
