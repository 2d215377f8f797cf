import { once } from 'node:events';
import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { connect, Unreachable } from './ingress.ts';

/** A server; `asked`: its requests. */
async function serve(answer: RequestListener) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    answer(request, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

/** Two ingresses, of which the first one never answers. */
async function halfSilent() {
  const silent = await serve(() => {});
  const other = await serve((_request, response) => void response.end('{}'));
  const access = { urls: [silent.url, other.url], admin: undefined, apiKey: undefined };
  const limits = { headMs: 30, queryMs: 30 };
  return { silent, other, ingress: connect(access, new AbortController().signal, limits) };
}

test('the next ingress is asked if one does not answer in time', async () => {
  const { other, ingress } = await halfSilent();
  expect(await ingress.getJson('/admin/fleet')).toEqual({});
  expect(other.asked).toEqual(['GET /admin/fleet']);
});

test.each([
  ['GET', '/admin/usage'],
  ['GET', '/admin/requests'],
  ['POST', '/admin/keys'],
] as const)('%s %s is not sent to a second ingress after a time-out', async (method, path) => {
  const { silent, other, ingress } = await halfSilent();
  const asked = method === 'GET' ? ingress.getJson(path) : ingress.post(path, {});
  await expect(asked).rejects.toThrow(Unreachable);
  await expect(asked).rejects.toThrow(`${silent.url}: no answer within`);
  expect(other.asked).toEqual([]);
});

test('a query of the ledger has a longer time limit than other requests', async () => {
  const { url } = await serve((_request, response) => {
    void sleep(100).then(() => response.end('{}'));
  });
  const access = { urls: [url], admin: undefined, apiKey: undefined };
  const limits = { headMs: 20, queryMs: 20_000 };
  const ingress = connect(access, new AbortController().signal, limits);
  expect(await ingress.getJson('/admin/usage', { group_by: 'key' })).toEqual({});
  await expect(ingress.getJson('/admin/fleet')).rejects.toThrow('no answer within');
});
