import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import WebSocket from 'ws';
import { makeCertificate } from '../kit/certificates.ts';
import { startFleet } from '../kit/fleet.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';

test('with TLS, connections are counted and times are watched as well', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-tls-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const { cert, key } = makeCertificate({ name: 'localhost', hosts: ['127.0.0.1'] });
  const tls = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  await Promise.all([writeFile(tls.cert, cert), writeFile(tls.key, key)]);
  const limits = { connectionsPerAddress: 1, headTimeout: '1s', requestTimeout: '2s' };
  await using fleet = await startFleet({
    models: { any: 'healthy' },
    config: { listen: { tls }, limits },
  });

  async function statusOf(headers = {}): Promise<number | undefined> {
    const options = { ca: cert, agent: false as const, headers };
    const [response] = (await once(get(`${fleet.url}/v1/models`, options), 'response')) as [
      IncomingMessage,
    ];
    response.resume();
    await once(response, 'close');
    return response.statusCode;
  }

  expect(await statusOf()).toBe(200);
  expect(await statusOf({ connection: 'Upgrade', upgrade: 'h2c' })).toBe(200);
  const socket = new WebSocket(`${fleet.url.replace('https', 'wss')}/v1/ws`, { ca: cert });
  await once(socket, 'open');
  expect(await statusOf()).toBe(429);
  socket.terminate();
  await expect.poll(statusOf).toBe(200);

  // One that never shakes hands, and one that speaks in the clear.
  const { hostname, port } = new URL(fleet.url);
  for (const words of ['', 'GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n']) {
    const plain = connect(Number(port), hostname);
    plain.on('error', () => {});
    let heard = '';
    plain.on('data', (part: Buffer) => (heard += part.toString('latin1')));
    if (words !== '') plain.write(words);
    await once(plain, 'close');
    expect(heard).not.toContain('HTTP/1.1');
  }
  const [page] = (await once(
    get(`${fleet.url}/metrics`, { ca: cert, agent: false }),
    'response',
  )) as [IncomingMessage];
  const text = (await page.toArray()).join('');
  expect(sumOf(parsePrometheus(text), 'millrace_refusals_total', { reason: 'invalid_tls' })).toBe(
    1,
  );
});
