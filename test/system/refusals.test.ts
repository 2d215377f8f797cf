import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { chat } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { openSocket } from '../kit/socket.ts';

// Whoever is not served is counted by the code that was answered, and told of in the log.

const models = { m: 'healthy:tokens=10' };
let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({ ingresses: 0, models });
});
afterAll(() => fleet?.close());

const counted = async (reason: string, key = '') =>
  sumOf(parsePrometheus((await call(`${fleet.url}/metrics`)).text), 'millrace_refusals_total', {
    reason,
    key,
  });

/** A connection, and everything that came on it once it is closed. */
async function raw(text: string | Buffer): Promise<{ socket: Socket; ended: Promise<string> }> {
  const { hostname, port } = new URL(fleet.url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  let received = '';
  socket.on('data', (part: Buffer) => (received += part.toString()));
  const failed = new Promise<never>((_, reject) => socket.on('error', reject));
  socket.write(text);
  const closed = once(socket, 'close').then(() => received);
  return { socket, ended: Promise.race([closed, failed]) };
}

describe('with a key', () => {
  beforeAll(async () => {
    await fleet.replaceIngress({
      keys: [
        { id: 'a', secret: 'secret-a', priority: 'low', models: ['m'] },
        { id: 'b', secret: 'secret-b', limits: { requestsPerMinute: 1 } },
      ],
      admin: { user: 'ops', password: 'pass' },
      limits: { requestBody: '4KiB', headTimeout: '1s', requestTimeout: '10s' },
    });
  });

  const as = (key: string, more: Record<string, string> = {}) => ({
    authorization: `Bearer secret-${key}`,
    ...more,
  });
  const post = (headers: Record<string, string>, body: unknown = chat('m')) =>
    call(`${fleet.url}/v1/chat/completions`, { headers, body });
  const get = (path: string, headers: Record<string, string> = as('a')) =>
    call(`${fleet.url}${path}`, { headers });

  it.each([
    ['request_too_large', 413, () => post(as('a'), { ...chat('m'), user: 'x'.repeat(5000) })],
    ['unsupported_content_type', 415, () => post(as('a', { 'content-type': 'text/plain' }))],
    ['invalid_json', 400, () => post(as('a'), '{')],
    ['priority_not_allowed', 403, () => post(as('a', { 'x-millrace-priority': 'high' }))],
    ['model_not_found', 404, () => post(as('a'), chat('nothing'))],
    ['invalid_idempotency_key', 400, () => post(as('a', { 'idempotency-key': '' }))],
    ['deadline_passed', 400, () => post(as('a', { 'x-millrace-deadline': '0s' }))],
    ['status_400', 400, () => post(as('a', { 'x-millrace-deadline': 'soon' }))],
    ['job_not_found', 404, () => get('/v1/jobs/req_1')],
  ])('%s is counted, with the key', async (reason, status, ask) => {
    const before = await counted(reason, 'a');
    expect((await ask()).status).toBe(status);
    expect(await counted(reason, 'a')).toBe(before + 1);
  });

  it.each([
    ['no_key', 401, () => get('/v1/models', {})],
    ['unknown_key', 401, () => get('/v1/models', as('x'))],
    ['admin_only', 401, () => get('/admin/upstreams')],
    ['admin_only', 401, () => get('/admin/queues/api/queues')],
    ['unknown_url', 404, () => get('/nothing')],
    ['invalid_url', 400, () => get('/v1/jobs/%zz')],
    ['request_head_too_large', 431, () => get('/v1/models', { 'x-long': 'x'.repeat(100_000) })],
  ])('%s is counted, of nobody', async (reason, status, ask) => {
    const before = await counted(reason);
    expect((await ask()).status).toBe(status);
    expect(await counted(reason)).toBe(before + 1);
  });

  it('what a key has used up is counted once, by the limit', async () => {
    expect((await post(as('b'))).status).toBe(200);
    expect((await post(as('b'))).status).toBe(429);
    expect(await counted('requests', 'b')).toBe(1);
    expect(await counted('rate_limit_exceeded', 'b')).toBe(0);
  });

  it('a key that asks for another request is counted, after its answer was handed over', async () => {
    const before = await counted('idempotency_key_reused', 'a');
    const headers = as('a', { 'idempotency-key': 'one' });
    expect((await post(headers)).status).toBe(200);
    expect((await post(headers, chat('m', { user: 'x' }))).status).toBe(409);
    expect(await counted('idempotency_key_reused', 'a')).toBe(before + 1);
  });

  it('what is no HTTP, or does not arrive, is counted', async () => {
    const [invalid, late] = [await counted('invalid_http'), await counted('request_timeout')];
    const noHttp = await raw('HELO millrace\r\n\r\n');
    expect(await noHttp.ended).toMatch(/^HTTP\/1\.1 400 /);
    expect(await counted('invalid_http')).toBe(invalid + 1);
    const silent = await raw('GET /v1/models HTTP/1.1\r\n');
    expect(await silent.ended).toMatch(/^HTTP\/1\.1 408 /);
    expect(await counted('request_timeout')).toBe(late + 1);
  });

  it('a head of 100 KB is refused, and its client can read so before it has sent all', async () => {
    const before = await counted('request_head_too_large');
    const head = `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'x'.repeat(100_000)}`;
    const { socket, ended } = await raw(head);
    await once(socket, 'data');
    // Nobody has closed yet: what is sent on is passed over, and takes nothing back.
    socket.end('x'.repeat(500_000));
    const text = await ended;
    expect(text).toMatch(/^HTTP\/1\.1 431 /);
    expect(text).toContain('request_head_too_large');
    expect(await counted('request_head_too_large')).toBe(before + 1);
  });

  it('a WebSocket that may not open is counted', async () => {
    const before = await counted('no_key');
    const socket = new WebSocket(`${fleet.url.replace('http', 'ws')}/v1/ws`);
    socket.on('error', () => {});
    await once(socket, 'unexpected-response');
    socket.terminate();
    expect(await counted('no_key')).toBe(before + 1);
  });

  it('the log has a line of each kind, and no secret', () => {
    const log = fleet.ingresses[0]?.stderr() ?? '';
    for (const reason of ['request_head_too_large', 'request_too_large', 'admin_only']) {
      expect(log.split('\n').filter((line) => line.includes(`"reason":"${reason}"`))).toHaveLength(
        1,
      );
    }
    expect(log).not.toContain('secret-');
    expect(log).not.toContain('xxxx');
  });
});

describe('what an ingress cannot hold', () => {
  it('is counted: connections that are told, and those that are not', async () => {
    await fleet.replaceIngress({ limits: { connectionsPerAddress: 1 } });
    const kept = await openSocket(fleet.url);
    expect((await call(`${fleet.url}/v1/models`)).status).toBe(429);
    expect(await counted('too_many_connections')).toBe(1);
    const crowd = await Promise.all(Array.from({ length: 70 }, () => raw('')));
    await Promise.race(crowd.map(({ ended }) => ended.catch(() => {})));
    for (const { socket } of crowd) socket.destroy();
    await kept.close();
    await expect.poll(() => counted('connection_unheard').catch(() => 0)).toBeGreaterThan(0);
  });

  it('is counted: bodies', async () => {
    await fleet.replaceIngress({ limits: { requestBodies: '64KiB' } });
    const body = { ...chat('m'), filler: 'x'.repeat(100_000) };
    const answer = await call(`${fleet.url}/v1/chat/completions`, { body });
    expect(errorOf(answer)).toMatchObject({ code: 'server_busy' });
    expect(await counted('server_busy')).toBe(1);
  });

  it('is counted once: what is no HTTP behind a request, and refused behind its answer', async () => {
    await fleet.killWorkers();
    await fleet.replaceIngress();
    const body = JSON.stringify(chat('m', { stream: true }));
    const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
    const { socket, ended } = await raw(`${head}Content-Length: ${body.length}\r\n\r\n${body}`);
    const waiting = async () =>
      sumOf(parsePrometheus((await call(`${fleet.url}/metrics`)).text), 'millrace_requests_open');
    await expect.poll(waiting).toBe(1);
    for (let i = 0; i < 10; i += 1) socket.write('HELO millrace\r\n\r\n');
    await expect.poll(() => counted('invalid_http')).toBe(1);
    await fleet.addWorker();
    expect(await ended).toMatch(/^HTTP\/1\.1 200 .*data: \[DONE\].*HTTP\/1\.1 400 /s);
    await expect.poll(waiting).toBe(0);
    expect(await counted('invalid_http')).toBe(1);
  });
});

describe('a body that is refused before it is there', () => {
  beforeAll(async () => {
    await fleet.replaceIngress({ limits: { requestBody: '1MiB', requestBodies: '8MiB' } });
  });

  const part = 'x'.repeat(64 * 1024);
  const parts = 320;
  const length = `Content-Length: ${parts * part.length}`;
  const chunked = 'Transfer-Encoding: chunked';

  it.each([
    ['too large', 413, 'application/json', length],
    ['too large, in chunks', 413, 'application/json', chunked],
    ['of another type', 415, 'text/plain', length],
    ['of another type, in chunks', 415, 'text/plain', chunked],
  ])('because it is %s: its client can read so, and nothing of it is held', async (...args) => {
    const [, status, type, framing] = args;
    const piece = framing === length ? part : `${part.length.toString(16)}\r\n${part}\r\n`;
    const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\n`;
    const { socket, ended } = await raw(`${head}${framing}\r\n\r\n`);
    ended.catch(() => {});
    const answered = once(socket, 'data') as Promise<[Buffer]>;
    for (let i = 0; i < parts; i += 1) socket.write(piece);
    const [answer] = await answered;
    expect(answer.toString()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));

    const held = async () =>
      sumOf(parsePrometheus((await call(`${fleet.url}/metrics`)).text), 'millrace_bound_bytes', {
        what: 'request_bodies',
      });
    // All of it has gone, or its time has.
    await expect.poll(() => socket.writableLength === 0 || socket.destroyed).toBe(true);
    await expect.poll(held).toBe(0);
    socket.destroy();
  });
});
