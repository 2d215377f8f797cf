import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { aliases, chat, createJob, readEvents } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf } from '../kit/http.ts';

const short = 'healthy:tokens=5';
const endless = 'healthy:tokens=5000,pace=10';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    models: aliases(short, endless, 'healthy:tokens=5,first=300', 'healthy:tokens=5,pace=100'),
  });
});
afterAll(() => fleet.close());

/** What comes back to these bytes: until it satisfies, or the server closes the connection. */
async function exchange(
  bytes: string,
  satisfied: (text: string) => boolean = () => false,
): Promise<string> {
  const { hostname, port } = new URL(fleet.url);
  const socket = connect(Number(port), hostname);
  let text = '';
  socket.setEncoding('utf8').on('data', (part: string) => {
    text += part;
    if (satisfied(text)) socket.destroy();
  });
  socket.write(bytes);
  await once(socket, 'close');
  return text;
}

const statuses = (text: string): number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

type Lines = Record<string, string>;

const request = (line: string, headers: Lines = {}, body = '') => {
  const all: Lines = { host: 'localhost', ...headers };
  if (body !== '') {
    all['content-type'] = 'application/json';
    all['content-length'] = String(body.length);
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${line}\r\n${lines.join('')}\r\n${body}`;
};

const post = (headers: Lines = {}, model = short, more = {}) =>
  request('POST /v1/chat/completions HTTP/1.1', headers, JSON.stringify(chat(model, more)));

describe('an upgrade that is not offered', () => {
  const asJava = {
    connection: 'Upgrade, HTTP2-Settings',
    upgrade: 'h2c',
    'http2-settings': 'AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA',
  };
  const upgrade = (to: string) => ({ connection: 'upgrade', upgrade: to });

  it.each([
    ['h2c as Java asks for it', asJava],
    ['TLS', upgrade('TLS/1.0')],
    ['anything', upgrade('foo')],
    ['a WebSocket where there is none', upgrade('websocket')],
  ])('%s is ignored, and the connection goes on', async (_what, headers) => {
    const bytes = [
      post(headers),
      request('GET /v1/models HTTP/1.1', headers),
      post({ ...headers }, short, { stream: true }),
      request('GET /healthz HTTP/1.1', headers),
      post({ connection: 'close' }),
    ].join('');
    const text = await exchange(bytes);
    expect(statuses(text)).toEqual([200, 200, 200, 200, 200]);
    expect(text.match(/"object":"chat\.completion"/g)).toHaveLength(2);
    expect(text).toContain('data: [DONE]');
  });

  it('is ignored in a POST with a long body, and cancels with its client', async () => {
    const body = chat(endless, { stream: true, user: 'x'.repeat(300_000) });
    const socket = connect(Number(new URL(fleet.url).port), '127.0.0.1');
    socket
      .resume()
      .write(request('POST /v1/chat/completions HTTP/1.1', asJava, JSON.stringify(body)));
    const upstream = await fleet.primary.waitFor(({ model }) => model === endless);
    socket.destroy();
    const { state } = await fleet.primary.waitFor(
      ({ number, state }) => number === upstream.number && state !== 'open',
    );
    expect(state).toBe('aborted by client');
  });
});

describe('a handshake', () => {
  const asked = (headers: Lines = {}, version = '1.1') =>
    request(`GET /v1/ws HTTP/${version}`, {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
      ...headers,
    });

  it.each([
    ['over HTTP/1.0', asked({}, '1.0'), 400],
    ['of version 8', asked({ 'sec-websocket-version': '8' }), 426],
    ['of no version', asked({ 'sec-websocket-version': '' }), 426],
    ['without a key', asked({ 'sec-websocket-key': '' }), 400],
    ['that is none', request('GET /v1/ws HTTP/1.1', { connection: 'close' }), 426],
  ])('%s is refused', async (_what, bytes, status) => {
    const text = await exchange(bytes);
    expect(statuses(text)).toEqual([status]);
    expect(text).toContain('"error":{');
    expect(/^sec-websocket-version: 13\r$/m.test(text)).toBe(status === 426);
  });

  it('agrees to no subprotocol, because it speaks none', async () => {
    const opened = (text: string) => text.includes('\r\n\r\n');
    const text = await exchange(asked({ 'sec-websocket-protocol': 'chat, superchat' }), opened);
    expect(statuses(text)).toEqual([101]);
    expect(text).not.toMatch(/^sec-websocket-protocol/im);
    const socket = new WebSocket(`${fleet.url.replace('http', 'ws')}/v1/ws`, ['chat']);
    const [error] = (await once(socket, 'error')) as [Error];
    expect(error.message).toContain('no subprotocol');
  });
});

describe('a head', () => {
  it.each([
    ['with two hosts', 'GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    ['with one host twice', 'GET /healthz HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n', 400],
    [
      'with a second host behind a thousand headers',
      `GET /healthz HTTP/1.1\r\nHost: a\r\n${'a:\r\n'.repeat(1100)}Host: b\r\n\r\n`,
      400,
    ],
    ['without a host', 'GET /healthz HTTP/1.1\r\n\r\n', 400],
    ['with a host that is none', 'GET /healthz HTTP/1.1\r\nHost: a/b@c\r\n\r\n', 400],
    ['of HTTP/0.9', 'GET /healthz HTTP/0.9\r\n\r\n', 400],
    ['of HTTP/0.9 without a version', 'GET /healthz\r\n\r\n', 400],
    ['of HTTP/2.0', 'GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n', 505],
    ['that asks for a tunnel', 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n', 405],
    ['that expects the unexpected', request('GET /healthz HTTP/1.1', { expect: 'a miracle' }), 417],
  ])('%s is refused, and ends the connection', async (_what, bytes, status) => {
    const text = await exchange(bytes);
    expect(statuses(text)).toEqual([status]);
    expect(text).toMatch(/"code":"(invalid_http|method_not_supported)"/);
    expect(text).toMatch(/^x-request-id: req_/m);
  });

  it.each(['localhost:8080', '[::1]:8080', 'api.example', 'a_b.example', '127.0.0.1'])(
    'with the host %s is taken',
    async (host) => {
      const text = await exchange(request('GET /healthz HTTP/1.1', { host, connection: 'close' }));
      expect(statuses(text)).toEqual([200]);
    },
  );
});

describe('what is no request, behind one that is', () => {
  it.each([
    ['while that waits for its answer', 'healthy:tokens=5,first=300'],
    ['while that streams', 'healthy:tokens=5,pace=100'],
  ])('%s, is refused when that has its answer', async (_when, model) => {
    const { hostname, port } = new URL(fleet.url);
    const socket = connect(Number(port), hostname);
    let text = '';
    socket.setEncoding('utf8').on('data', (part: string) => {
      if (text === '' && model.includes('pace')) socket.write('HELO\r\n\r\n');
      text += part;
    });
    const first = post({}, model, { stream: true });
    socket.write(model.includes('pace') ? first : `${first}HELO\r\n\r\n`);
    await once(socket, 'close');
    expect(statuses(text)).toEqual([200, 400]);
    expect(text.indexOf('data: [DONE]')).toBeLessThan(text.indexOf('HTTP/1.1 400'));
    expect(text).toContain('data: [DONE]');
  });

  it('is refused at once where it is in the body of the request itself', async () => {
    const text = await exchange(
      request('POST /v1/chat/completions HTTP/1.1', { 'transfer-encoding': 'chunked' }) + 'x\r\n',
    );
    expect(statuses(text)).toEqual([400]);
  });
});

describe('a client of HTTP/1.0', () => {
  it('gets a whole answer, and the end of the connection', async () => {
    const body = JSON.stringify(chat(short));
    const text = await exchange(
      `POST /v1/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(statuses(text)).toEqual([200]);
    expect(text).toContain('"object":"chat.completion"');
    expect(text).not.toMatch(/^transfer-encoding/im);
  });

  it('gets a stream that is not in chunks, also where it would keep the connection', async () => {
    const body = JSON.stringify(chat(short, { stream: true }));
    const text = await exchange(
      `POST /v1/chat/completions HTTP/1.0\r\nConnection: keep-alive\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(statuses(text)).toEqual([200]);
    expect(text).not.toMatch(/^transfer-encoding/im);
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  it('keeps its connection where it asks for that', async () => {
    const get = (more = '') => `GET /v1/models HTTP/1.0\r\n${more}\r\n`;
    const text = await exchange(get('Connection: keep-alive\r\n') + get());
    expect(statuses(text)).toEqual([200, 200]);
  });
});

describe('Expect: 100-continue', () => {
  const head = (headers: Lines) =>
    request('POST /v1/chat/completions HTTP/1.1', {
      expect: '100-continue',
      'content-type': 'application/json',
      connection: 'close',
      ...headers,
    });

  it('is answered before the body is sent', async () => {
    const { hostname, port } = new URL(fleet.url);
    const socket = connect(Number(port), hostname);
    const body = JSON.stringify(chat(short));
    let text = '';
    socket.setEncoding('utf8').on('data', (part: string) => {
      if (text === '') socket.write(body);
      text += part;
    });
    socket.write(head({ 'content-length': String(body.length) }));
    await once(socket, 'close');
    expect(statuses(text)).toEqual([100, 200]);
  });

  it('is not answered where the request is refused by its head', async () => {
    const text = await exchange(head({ host: 'a/b', 'content-length': '10' }));
    expect(statuses(text)).toEqual([400]);
  });
});

describe('HEAD and OPTIONS', () => {
  it("HEAD of a job's events answers at once, with what GET would say", async () => {
    const id = await createJob(fleet.url, chat(endless, { stream: true }));
    const path = `${fleet.url}/v1/jobs/${id}/events`;
    const answer = await call(path, { method: 'HEAD' });
    expect(answer).toMatchObject({ status: 200, text: '', how: 'complete' });
    expect(answer.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    expect(answer.headers['x-request-id']).toBe(id);
    expect(answer.headers['content-length']).toBeUndefined();
    await call(`${fleet.url}/v1/jobs/${id}`, { method: 'DELETE' });
    const last = /id: (\S+)\n(?!.*id: )/s.exec((await readEvents(fleet.url, id).ended).text)?.[1];
    expect((await call(`${path}?after=${last}`, { method: 'HEAD' })).status).toBe(204);
    expect((await call(`${path}?after=x`, { method: 'HEAD' })).status).toBe(400);
  });

  it.each(['/v1/models', '/v1/models/', '/healthz', '/readyz', '/metrics', `/v1/models/${short}`])(
    'HEAD %s has the head of GET, and no body',
    async (path) => {
      const [head, get] = [
        await call(`${fleet.url}${path}`, { method: 'HEAD' }),
        await call(`${fleet.url}${path}`),
      ];
      expect(head).toMatchObject({ status: 200, text: '' });
      expect(head.headers['content-type']).toBe(get.headers['content-type']);
    },
  );

  it.each([
    ['/v1/models', 'GET, HEAD, OPTIONS'],
    ['/v1/chat/completions', 'OPTIONS, POST'],
    ['/v1/jobs/req_1', 'DELETE, GET, HEAD, OPTIONS'],
  ])('OPTIONS %s says what there is', async (path, allow) => {
    const answer = await call(`${fleet.url}${path}`, { method: 'OPTIONS' });
    expect(answer).toMatchObject({ status: 204, text: '' });
    expect(answer.headers.allow?.split(', ').sort().join(', ')).toBe(allow);
  });

  it('OPTIONS * is answered, and OPTIONS of nothing is a 404', async () => {
    const text = await exchange(request('OPTIONS * HTTP/1.1', { connection: 'close' }));
    expect(statuses(text)).toEqual([204]);
    expect((await call(`${fleet.url}/nothing`, { method: 'OPTIONS' })).status).toBe(404);
  });
});

describe('a path', () => {
  it.each([
    '/v1/chat/completions/',
    '//v1/chat/completions',
    '/v1//chat/completions',
    '/v1/chat/completions?a=1',
  ])('%s is that of chat completions', async (path) => {
    expect((await call(`${fleet.url}${path}`, { body: chat(short) })).status).toBe(200);
    expect((await call(`${fleet.url}${path}`)).status).toBe(405);
  });

  it('that is not served gets a 404 that lists what is', async () => {
    const answer = await call(`${fleet.url}/chat/completions`, { body: chat(short) });
    expect(answer.status).toBe(404);
    const { message } = errorOf(answer);
    expect(message).toContain('POST /chat/completions');
    for (const served of [
      'POST /v1/chat/completions',
      'GET /v1/models',
      'GET|DELETE /v1/jobs/{id}',
      'GET /v1/ws',
      'GET /healthz',
    ])
      expect(message).toContain(served);
    expect(message).not.toContain('admin');
  });
});
