import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCertificate, makeServer } from '../kit/certificates.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { OWN_TEXT, startOwnProvider } from '../kit/own-provider.ts';
import type { OwnProvider } from '../kit/own-provider.ts';
import { metricAt, upstreamsOf } from '../kit/upstreams.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, createJob, eventsOf, getJob } from '../kit/client.ts';
import { expectWhole, readPlain, readStory } from '../kit/judge.ts';

// Providers that cannot be reached as they should: each is its named fault, and the backup's business.

type Bad = [name: string, code: string, status: number, attempts: number, says: RegExp];

const bad: Bad[] = [
  ['other pins', 'upstream_tls_failed', 502, 1, /pin/i],
  ['expired', 'upstream_tls_failed', 502, 1, /expired/],
  ['self-signed', 'upstream_tls_failed', 502, 1, /self-signed/],
  ['no such host', 'upstream_unreachable', 502, 2, /./],
  ['a port that refuses', 'upstream_unreachable', 502, 2, /ECONNREFUSED/],
  ['a proxy that hangs', 'upstream_connect_timeout', 504, 1, /proxy/],
];
/** Providers with bad manners that cost nobody anything. */
const odd = ['closes idle connections early', 'closes every connection'];

let dir: string;
let own: Record<string, OwnProvider>;
let proxy: Server;
const inProxy = new Set<Socket>();
let fleet: Fleet;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-certificates-'));
  const { authority, server } = makeServer();
  const ca = join(dir, 'ca.pem');
  await writeFile(ca, authority.cert);
  const hosts = ['127.0.0.1'];
  const past = { from: -9, until: -2 };
  own = {
    'other pins': await startOwnProvider({ tls: server }),
    expired: await startOwnProvider({
      tls: makeCertificate({ name: 'old', issuer: authority, hosts, ...past }),
    }),
    'self-signed': await startOwnProvider({ tls: makeCertificate({ name: 'own', hosts }) }),
    'closes idle connections early': await startOwnProvider({ closesAfterMs: 5 }),
    'closes every connection': await startOwnProvider({
      reply: () => ({ headers: { connection: 'close' } }),
    }),
  };
  proxy = createServer((socket) => inProxy.add(socket.on('error', () => {})));
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const freed = await startOwnProvider();
  await freed.close();

  const at = (scheme: string, host: string, more: object = {}) => ({
    api: 'openai',
    baseUrl: `${scheme}://${host}/v1`,
    // Named faults are looked at here, however many there are.
    check: { kind: 'off' },
    // However long the file takes, no call leaves the window.
    breaker: { failures: 1000, calls: 1000, window: '10m' },
    ...more,
  });
  const local = (name: string) => `127.0.0.1:${own[name]?.port}`;
  const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const providers: Record<string, object> = {
    'other pins': at('https', local('other pins'), {
      tls: { ca, pins: [authority, server].map(otherPin) },
    }),
    expired: at('https', local('expired'), { tls: { ca } }),
    'self-signed': at('https', local('self-signed'), { tls: { ca } }),
    'no such host': at('http', 'nowhere.invalid'),
    'a port that refuses': at('http', `127.0.0.1:${freed.port}`),
    'a proxy that hangs': at('http', '192.0.2.1', {
      proxy: proxyUrl,
      pool: { connectTimeout: '200ms' },
    }),
    'closes idle connections early': at('http', local('closes idle connections early')),
    'closes every connection': at('http', local('closes every connection')),
  };
  const alone = Object.keys(providers).map((provider) => [
    `${provider} alone`,
    { targets: [{ provider, model: 'm' }] },
  ]);
  const backed = Object.keys(providers).map((provider) => [
    provider,
    {
      targets: [
        { provider, model: 'm' },
        { provider: 'backup', model: 'healthy:tokens=5' },
      ],
    },
  ]);
  fleet = await startFleet({
    admin: true,
    health: true,
    models: Object.fromEntries([...alone, ...backed]) as Record<string, unknown>,
    config: { providers },
  });
});
afterAll(async () => {
  await fleet?.close();
  for (const provider of Object.values(own ?? {})) await provider.close();
  for (const socket of inProxy) socket.destroy();
  proxy?.close();
  await rm(dir, { recursive: true, force: true });
});

/** Of a key that is nobody's here. */
const otherPin = () => makeCertificate({ name: 'nobody' }).pin;

/** Requests of all tests, and of their second tries, by provider. */
const asks = new Map<string, number>();
const countAsk = (provider: string) => asks.set(provider, (asks.get(provider) ?? 0) + 1);

const targetAt = async (provider: string) =>
  (await upstreamsOf(fleet.url))[0]?.upstreams.health.targets.find(
    (one) => one.provider === provider,
  );

/** A line of a worker's log that says it of this provider. */
const logged = (provider: string, says: RegExp) =>
  new RegExp(`"provider":"${provider}[^\\n]*(${says.source})`, 'i');

describe.each(bad)('a bad provider (%s)', (name, code, status, attempts, says) => {
  test('is a clear error where it is alone', async () => {
    countAsk(name);
    const { head, error } = await readPlain(ask(fleet.url, `${name} alone`));
    expect(head.status).toBe(status);
    // No host, no certificate and no code of the system is any business of the client's.
    expect(error).toMatchObject({ code, message: expect.stringMatching(/^[A-Z][A-Za-z ]+\.$/) });
    await expect.poll(() => fleet.workers[0]?.stderr()).toMatch(logged(name, says));
  });

  test('has a backup that answers, and the attempts say why', async () => {
    countAsk(name);
    const job = await createJob(fleet.url, name);
    const text = expectedText({ tokens: 5 });
    expect(readStory(await eventsOf(fleet.url, job))).toMatchObject({ end: 'done', text });
    const view = await getJob(fleet.url, job);
    expect(view.attempts.map(({ provider, outcome }) => [provider, outcome])).toEqual([
      ...Array.from({ length: attempts }, () => [name, code]),
      ['backup', 'completed'],
    ]);
  });

  test('has it on its own account, where an operator looks', async () => {
    const failures = (asks.get(name) ?? 0) * attempts;
    await expect
      .poll(async () => (await targetAt(name))?.window)
      .toEqual({ calls: failures, errors: failures });
    expect((await targetAt('backup'))?.window.errors).toBe(0);
    const [row] = await upstreamsOf(fleet.url);
    expect(row?.upstreams.pools[name]?.connect_failures[code]).toBeGreaterThanOrEqual(failures);
    const labels = { provider: name, fault: code };
    expect(
      await metricAt(fleet.url, 'millrace_pool_connect_failures_total', labels),
    ).toBeGreaterThanOrEqual(failures);
    expect(own[name]?.requests ?? []).toEqual([]);
  });
});

describe.each(odd)('an odd provider (%s)', (name) => {
  test('serves all the same, and nothing counts against it', async () => {
    const count = 12;
    const before = own[name]?.requests.length ?? 0;
    for (let i = 0; i < count; i++) {
      const { head } = await expectWhole(ask(fleet.url, name), OWN_TEXT);
      expect(head.headers['x-millrace-served-by']).toBe(`${name}/m`);
      // Right away, right before it closes, right after.
      await new Promise((resolve) => setTimeout(resolve, i));
    }
    expect(own[name]?.requests).toHaveLength(before + count);
    expect(own[name]?.connections).toBeGreaterThan(1);
    await expect
      .poll(async () => (await targetAt(name))?.window)
      .toEqual({ calls: before + count, errors: 0 });
  });
});
