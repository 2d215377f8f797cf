import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { serveHealth } from './health-server.ts';
import type { HealthServer } from './health-server.ts';

let reasons: string[] = [];
const servers: HealthServer[] = [];

afterEach(() => {
  reasons = [];
  for (const server of servers.splice(0)) server.close();
});

async function start(port = 0): Promise<HealthServer> {
  const server = await serveHealth({ host: 'localhost', port, whyNotReady: async () => reasons });
  servers.push(server);
  return server;
}

async function ask({ port }: HealthServer, path: string) {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  return [response.status, await response.json()];
}

test('the health port is ready while there is no reason against it, and alive in any case', async () => {
  const server = await start();
  expect(await ask(server, '/readyz')).toEqual([200, { status: 'ready', reasons: [] }]);
  reasons = ['Redis is away'];
  expect(await ask(server, '/readyz?verbose')).toEqual([503, { status: 'not_ready', reasons }]);
  expect(await ask(server, '/healthz')).toEqual([200, { status: 'ok' }]);
  expect((await ask(server, '/metrics'))[0]).toBe(404);
});

test('the health port closes the connection of each probe', async () => {
  const { port } = await start();
  const socket = connect(port, '127.0.0.1');
  socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n');
  socket.resume();
  await expect(once(socket, 'end')).resolves.toEqual([]);
});

test('a health port that is taken is an error', async () => {
  const { port } = await start();
  await expect(start(port)).rejects.toThrow(/EADDRINUSE/);
});
