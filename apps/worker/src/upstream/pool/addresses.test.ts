import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { LookupFunction } from 'node:net';
import { expect, test } from 'vitest';
import { ask, listen, startPool, until } from './pool.fixture.ts';

/** A name server that says what it is told to; no words: it fails. */
function nameServer() {
  let addresses: string[] = [];
  let looks = 0;
  const lookup: LookupFunction = (_host, { all }, callback) => {
    looks += 1;
    const [first] = addresses;
    if (first === undefined) {
      callback(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), '', 4);
    } else if (all)
      callback(
        null,
        addresses.map((address) => ({ address, family: 4 })),
      );
    else callback(null, first, 4);
  };
  return {
    lookup,
    looks: () => looks,
    say: (...words: string[]) => (addresses = words),
  };
}

test('connections move to the new address of a name; what runs on the old one finishes', async () => {
  const held: ServerResponse[] = [];
  const local = (request: IncomingMessage, response: ServerResponse) => {
    if (request.url === '/hold') held.push(response);
    else response.end(request.socket.localAddress);
  };
  // One port, every address of the loopback network.
  await using at = await listen(createServer(local), '0.0.0.0');
  const names = nameServer();
  names.say('127.0.0.1');
  const { lookup } = names;
  using pool = startPool({ ...at, host: 'moving.test', lookup, dnsIntervalMs: 20, warm: 1 });
  expect(await ask(pool).outcome).toBe('200 127.0.0.1');
  const old = ask(pool, '/hold');
  await until(() => held.length === 1);
  expect(pool.stats()).toMatchObject({ connects: 1 });

  // A name server that is away changes nothing.
  names.say();
  const before = names.looks();
  await until(() => names.looks() > before + 1);
  expect(pool.stats()).toMatchObject({ size: 1, closed: { dns: 0 } });

  names.say('127.0.0.2');
  const seen = names.looks();
  await until(() => names.looks() > seen + 1);
  expect(await ask(pool).outcome).toBe('200 127.0.0.2');
  held[0]?.end('finished');
  expect(await old.outcome).toBe('200 finished');
  await until(() => pool.stats().closed.dns === 1);
  expect(pool.stats().size).toBe(1);
});

test('a name that is not there is told as such, and an address is never looked up', async () => {
  await using at = await listen(createServer((_, response) => response.end('ok')));
  const { lookup, looks } = nameServer();
  using lost = startPool({ ...at, host: 'nowhere.test', lookup });
  expect(await ask(lost).outcome).toBe(
    'upstream_unreachable: The provider could not be reached (ENOTFOUND).',
  );
  expect(looks()).toBe(1);
  using fixed = startPool({ ...at, lookup, dnsIntervalMs: 5 });
  expect(await ask(fixed).outcome).toBe('200 ok');
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(looks()).toBe(1);
});

test('a name server that never answers is within the time for connecting', async () => {
  using pool = startPool({ port: 9, host: 'silent.test', lookup: () => {}, connectTimeoutMs: 50 });
  expect(await ask(pool).outcome).toMatch(/^upstream_connect_timeout: /);
  expect(pool.stats()).toMatchObject({ connecting: 0, waiting: 0 });
});
