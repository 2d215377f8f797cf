import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import { expect, test } from 'vitest';
import { listen, startPool, until } from '../pool/pool.fixture.ts';
import { createAsk } from './ask.ts';

async function provider(onRequest: RequestListener, maxResponseBytes = 1000) {
  const at = await listen(createServer(onRequest));
  const pool = startPool({ port: at.port, connections: 2 });
  const config = { api: 'openai', baseUrl: `http://127.0.0.1:${at.port}/v1`, apiKeys: [] };
  const ask = createAsk({
    // Only what a list of models needs.
    providers: { p: config as never },
    upstreamOf: () => pool,
    maxResponseBytes,
    onError(error) {
      throw error;
    },
  });
  const question = { kind: 'models', provider: 'p' } as const;
  return {
    pool,
    list: (signal = new AbortController().signal) => ask(question, signal),
    async [Symbol.asyncDispose]() {
      pool.close();
      await at[Symbol.asyncDispose]();
    },
  };
}

test('a list of models is answered when its connection is free again', async () => {
  await using p = await provider((_request, response) => response.end('{"data":[]}'));
  for (let i = 0; i < 5; i++) expect(await p.list()).toEqual({ kind: 'ok' });
  await until(() => p.pool.stats().active === 0);
  expect(p.pool.stats().connects).toBe(1);
});

test('a list that begins and never ends is no answer, and holds no connection after its check', async () => {
  await using p = await provider((_request, response) =>
    response.writeHead(200).write('{"data":['),
  );
  const checks = Array.from({ length: 2 }, async () => {
    const check = new AbortController();
    const answer = p.list(check.signal);
    await until(() => p.pool.stats().active > 0);
    const first = await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 50))]);
    check.abort();
    return [first, (await answer).kind];
  });
  expect(await Promise.all(checks)).toEqual([
    [undefined, 'fault'],
    [undefined, 'fault'],
  ]);
  await until(() => p.pool.stats().active === 0);
});

test('a list without an end is answered by so much of it as anybody reads', async () => {
  await using p = await provider((_request, response) => {
    const timer = setInterval(() => response.write('x'.repeat(500)), 1);
    response.on('close', () => clearInterval(timer));
  });
  expect(await p.list()).toEqual({ kind: 'ok' });
  await until(() => p.pool.stats().active === 0);
});

test('a refusal is told with its status', async () => {
  await using p = await provider((_request, response) => response.writeHead(403).end('no'));
  expect(await p.list()).toMatchObject({ kind: 'fault', fault: { httpStatus: 403 } });
});
