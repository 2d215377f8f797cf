import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import WebSocket from 'ws';
import { makeCertificate } from '../harness/certificates.ts';
import { startFleet } from '../harness/fleet.ts';

test('with TLS, connections are counted and times are watched as well', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-tls-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const { cert, key } = makeCertificate({ name: 'localhost', hosts: ['127.0.0.1'] });
  const tls = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  await Promise.all([writeFile(tls.cert, cert), writeFile(tls.key, key)]);
  const limits = { connectionsPerAddress: 1, headTimeout: '300ms', requestTimeout: '600ms' };
  await using fleet = await startFleet({
    models: { any: 'healthy' },
    config: { listen: { tls }, limits },
  });

  async function statusOf(): Promise<number | undefined> {
    const options = { ca: cert, agent: false as const };
    const [response] = (await once(get(`${fleet.url}/v1/models`, options), 'response')) as [
      IncomingMessage,
    ];
    response.resume();
    await once(response, 'close');
    return response.statusCode;
  }

  expect(await statusOf()).toBe(200);
  const socket = new WebSocket(`${fleet.url.replace('https', 'wss')}/v1/ws`, { ca: cert });
  await once(socket, 'open');
  expect(await statusOf()).toBe(429);
  socket.terminate();
  await expect.poll(statusOf).toBe(200);

  // One that never shakes hands.
  const { hostname, port } = new URL(fleet.url);
  const silent = connect(Number(port), hostname);
  silent.on('error', () => {});
  silent.resume();
  await once(silent, 'close');
});
