import { once } from 'node:events';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { newRequestId } from '@millrace/shared/domain/request';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aliases, chat, complete } from '../kit/api.ts';
import { contentOf, eventsOf } from '../kit/events.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf, jsonOf } from '../kit/http.ts';
import type { SendOptions } from '../kit/http.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';

const model = 'healthy:tokens=20';
const bodyLimit = 4096;
const mine = { authorization: 'Bearer secret-of-mine' };
const theirs = { authorization: 'Bearer secret-of-theirs' };

let fleet: Fleet;
let pids: (number | undefined)[];
const processIds = () => [...fleet.ingresses, ...fleet.workers].map(({ child }) => child.pid);
beforeAll(async () => {
  fleet = await startFleet({
    models: aliases(model, 'refusal'),
    config: {
      keys: [
        { id: 'mine', secret: 'secret-of-mine' },
        { id: 'theirs', secret: 'secret-of-theirs' },
      ],
      limits: { requestBody: `${bodyLimit}B`, requestValues: 1500 },
    },
  });
  pids = processIds();
});
afterAll(() => fleet.close());

/** With a good key. */
const ask = (path: string, options: SendOptions = {}) =>
  call(`${fleet.url}${path}`, { ...options, headers: { ...mine, ...options.headers } });
const askChat = (body: unknown, options: SendOptions = {}) =>
  ask('/v1/chat/completions', { body, ...options });

/** What comes back to these bytes: until it satisfies, else until the server closes the connection. */
async function rawAnswer(
  bytes: string,
  satisfied: (text: string) => boolean = () => false,
): Promise<string> {
  const { hostname, port } = new URL(fleet.url);
  const socket = connect(Number(port), hostname);
  let text = '';
  socket.on('data', (data: Buffer) => {
    text += data.toString();
    if (satisfied(text)) socket.destroy();
  });
  socket.write(bytes);
  await once(socket, 'close');
  return text;
}

/** A WebSocket's opening, with a good key. A header of undefined is left out. */
function handshake(headers: Record<string, string | undefined> = {}, version = '1.1'): string {
  const all = {
    host: 'localhost',
    ...mine,
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`],
  );
  return [`GET /v1/ws HTTP/${version}`, ...lines, '', ''].join('\r\n');
}

const messages = [{ role: 'user', content: 'hello' }];
const type = 'invalid_request_error';

describe('a body', () => {
  it.each([
    ['that breaks off', '{"model":'],
    ['with text behind it', `${JSON.stringify(chat(model))}x`],
    ['with a trailing comma', '{"model":"m",}'],
    ['in single quotes', "{'model':'m'}"],
    ['with a bare line break in a string', '{"model":"a\nb"}'],
    ['of nothing but brackets', '['.repeat(900)],
    ['that is a form', 'model=m&messages=1'],
    ['with a byte order mark', `\ufeff${JSON.stringify(chat(model))}`],
  ])('%s is not JSON', async (_what, body) => {
    for (const path of ['/v1/chat/completions', '/v1/jobs']) {
      const answer = await ask(path, { body });
      expect(answer.status).toBe(400);
      expect(errorOf(answer)).toMatchObject({ type, code: 'invalid_json' });
    }
  });

  it('nested beyond every bound is refused with 400, wherever that is', async () => {
    const deep = '['.repeat(1001) + ']'.repeat(1001);
    const inner = JSON.stringify(chat(model));
    for (const [path, body] of [
      ['/v1/chat/completions', `${inner.slice(0, -1)},"x":${deep}}`],
      ['/v1/chat/completions', `{"model":"m","messages":[{"role":"user","content":${deep}}]}`],
      ['/v1/jobs', `{"body":${inner.slice(0, -1)},"x":${deep}}}`],
      ['/v1/jobs', `{"body":${inner},"metadata":{"x":${deep}}}`],
      ['/v1/jobs', '['.repeat(4000)],
    ] as const) {
      const answer = await ask(path, { body });
      expect(answer.status).toBe(400);
      expect(errorOf(answer)).toMatchObject({ type, code: 'request_too_deep' });
    }
  });

  it.each([false, true])(
    'of too many values is refused with 413, in chunks %s',
    async (chunked) => {
      const many = `[${'1,'.repeat(1800)}1]`;
      const inner = JSON.stringify(chat(model));
      for (const [path, body] of [
        ['/v1/chat/completions', `${inner.slice(0, -1)},"x":${many}}`],
        ['/v1/jobs', `{"body":${inner.slice(0, -1)},"x":${many}}}`],
        ['/v1/jobs', `{"body":${inner},"metadata":{"x":${many}}}`],
      ] as const) {
        const answer = await ask(path, { body, chunked });
        expect(answer.status).toBe(413);
        expect(errorOf(answer)).toMatchObject({ type, code: 'request_too_complex' });
      }
      const taken = await askChat(chat(model, { x: JSON.parse(`[${'1,'.repeat(1400)}1]`) }));
      expect(taken.status).toBe(200);
    },
  );

  it.each(['[]', '[{"model":"m"}]', '"text"', '7', 'null', 'true', '', '  \n '])(
    'that is %j is refused',
    async (body) => {
      for (const path of ['/v1/chat/completions', '/v1/jobs']) {
        const answer = await ask(path, { body });
        expect(answer.status).toBe(400);
        expect(errorOf(answer)).toMatchObject({ type });
      }
    },
  );

  it.each([false, true])('with broken UTF-8 is refused, in chunks %s', async (chunked) => {
    const text = JSON.stringify(chat(model, { user: '#' }));
    const at = text.indexOf('#');
    for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0x9a]]) {
      const body = Buffer.concat([
        Buffer.from(text.slice(0, at)),
        Buffer.from(bytes),
        Buffer.from(text.slice(at + 1)),
      ]);
      const answer = await askChat(body, { chunked });
      expect(answer.status).toBe(400);
      expect(errorOf(answer)).toMatchObject({ type });
    }
  });

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'text/json',
    'nonsense',
  ])('of type %s is refused with 415', async (contentType) => {
    const answer = await askChat(chat(model), { headers: { 'content-type': contentType } });
    expect(answer.status).toBe(415);
    expect(errorOf(answer)).toMatchObject({ type, code: 'unsupported_content_type' });
  });

  it.each(['application/json', 'application/json; charset=utf-8', 'APPLICATION/JSON'])(
    'of type %s is taken',
    async (contentType) => {
      const answer = await askChat(chat(model), { headers: { 'content-type': contentType } });
      expect(answer.status).toBe(200);
    },
  );

  it.each(['gzip', 'deflate', 'br', 'zstd', 'identity, gzip', 'GZIP', 'nonsense'])(
    'in content encoding %s is refused with 415',
    async (encoding) => {
      for (const path of ['/v1/chat/completions', '/v1/jobs']) {
        const answer = await ask(path, {
          body: gzipSync(JSON.stringify(chat(model))),
          headers: { 'content-encoding': encoding },
        });
        expect(answer).toMatchObject({ status: 415, headers: { 'accept-encoding': 'identity' } });
        expect(errorOf(answer)).toMatchObject({ type, code: 'unsupported_content_encoding' });
      }
    },
  );

  it.each(['identity', 'Identity', ''])('in content encoding %j is taken', async (encoding) => {
    const headers = { 'content-encoding': encoding };
    expect((await askChat(chat(model), { headers })).status).toBe(200);
  });

  it.each([false, true])('that is a bomb is not unpacked, in chunks %s', async (chunked) => {
    // Three KiB that would be a few MiB, with every header that could have somebody unpack it.
    const bomb = gzipSync(Buffer.alloc(3 * 1024 * 1024));
    expect(bomb.length).toBeLessThan(bodyLimit);
    for (const more of [{ 'content-encoding': 'gzip' }, { te: 'gzip' }, {}]) {
      const answer = await askChat(bomb, { chunked, headers: more });
      expect([400, 415]).toContain(answer.status);
      expect(errorOf(answer)).toMatchObject({ type });
    }
  });

  it.each([false, true])('over the limit is refused with 413, in chunks %s', async (chunked) => {
    const upTo = (length: number) => {
      const text = JSON.stringify(chat(model, { user: '' }));
      return text.replace('"user":""', `"user":"${'x'.repeat(length - text.length)}"`);
    };
    expect((await askChat(upTo(bodyLimit), { chunked })).status).toBe(200);
    const answer = await askChat(upTo(bodyLimit + 1), { chunked });
    expect(answer.status).toBe(413);
    expect(errorOf(answer)).toMatchObject({ type, code: 'request_too_large' });
  });
});

describe('a field', () => {
  const wrong: [what: string, body: Record<string, unknown>, param: string, code?: string][] = [
    ['model missing', { messages }, 'model'],
    ['model empty', { model: '', messages }, 'model'],
    ['model null', { model: null, messages }, 'model', 'invalid_type'],
    ['model a number', { model: 4, messages }, 'model', 'invalid_type'],
    ['model a list', { model: [model], messages }, 'model', 'invalid_type'],
    ['messages missing', { model }, 'messages', 'missing_required_parameter'],
    ['messages empty', { model, messages: [] }, 'messages', 'empty_array'],
    ['messages null', { model, messages: null }, 'messages', 'invalid_type'],
    ['messages a text', { model, messages: 'hello' }, 'messages', 'invalid_type'],
    ['messages an object', { model, messages: {} }, 'messages', 'invalid_type'],
    ['a message a text', { model, messages: [...messages, 'hi'] }, 'messages[1]', 'invalid_type'],
    ['a message null', { model, messages: [null] }, 'messages[0]', 'invalid_type'],
    ['stream a text', { model, messages, stream: 'true' }, 'stream', 'invalid_type'],
    ['stream a number', { model, messages, stream: 1 }, 'stream', 'invalid_type'],
    [
      'stream_options a boolean',
      { model, messages, stream: true, stream_options: true },
      'stream_options',
      'invalid_type',
    ],
    [
      'stream_options a list',
      { model, messages, stream: true, stream_options: [] },
      'stream_options',
      'invalid_type',
    ],
    [
      'stream_options without stream',
      { model, messages, stream_options: { include_usage: true } },
      'stream_options',
    ],
    [
      'stream_options with stream false',
      { model, messages, stream: false, stream_options: {} },
      'stream_options',
    ],
  ];

  it.each(wrong)('%s is named in the error', async (_what, body, param, code) => {
    const answers = [await askChat(body), await ask('/v1/jobs', { body: { body } })];
    for (const answer of answers) {
      expect(answer.status).toBe(400);
      expect(errorOf(answer)).toMatchObject({ type, param, ...(code ? { code } : {}) });
    }
  });

  it.each(['gpt-0', '__proto__', 'constructor', 'toString', 'x'.repeat(3000), 'a/../b', '💥'])(
    'model %s is not there',
    async (unknown) => {
      const answer = await askChat(chat(unknown));
      expect(answer.status).toBe(404);
      expect(errorOf(answer)).toMatchObject({ type, param: 'model', code: 'model_not_found' });
      expect(errorOf(answer).message.length).toBeLessThan(400);
    },
  );

  it('stream null, or stream_options null, counts as not given', async () => {
    const body = chat(model, { stream: null, stream_options: null });
    expect((await askChat(body)).status).toBe(200);
  });

  const jobs: [what: string, job: Record<string, unknown>, param: string][] = [
    ['body missing', {}, 'body'],
    ['body a text', { body: JSON.stringify(chat(model)) }, 'body'],
    ['body a list', { body: [chat(model)] }, 'body'],
    ['body null', { body: null }, 'body'],
    ['endpoint unknown', { endpoint: '/v1/nothing', body: chat(model) }, 'endpoint'],
    ['endpoint null', { endpoint: null, body: chat(model) }, 'endpoint'],
    ['priority unknown', { priority: 'urgent', body: chat(model) }, 'priority'],
    ['priority a number', { priority: 1, body: chat(model) }, 'priority'],
    ['priority a list', { priority: ['high'], body: chat(model) }, 'priority'],
    ['metadata a text', { metadata: 'x', body: chat(model) }, 'metadata'],
    ['metadata a list', { metadata: [], body: chat(model) }, 'metadata'],
    ['deadline in the past', { deadline: '2020-01-01T00:00:00Z', body: chat(model) }, 'deadline'],
    ['a field that is none', { modle: model, body: chat(model) }, 'modle'],
  ];
  it.each(jobs)('of a job: %s is named in the error', async (_what, body, param) => {
    const answer = await ask('/v1/jobs', { body });
    expect(answer.status).toBe(400);
    expect(errorOf(answer)).toMatchObject({ type, param });
  });
});

describe('a header', () => {
  it.each(['keep-it', 'KEEP', '', 'cancel, keep'])(
    'x-millrace-on-disconnect: %j is refused',
    async (value) => {
      const answer = await askChat(chat(model), {
        headers: { 'x-millrace-on-disconnect': value },
      });
      expect(answer.status).toBe(400);
      expect(errorOf(answer)).toMatchObject({ type, param: 'x-millrace-on-disconnect' });
    },
  );

  it.each(['cancel', 'keep'])('x-millrace-on-disconnect: %s is taken', async (value) => {
    const headers = { 'x-millrace-on-disconnect': value };
    expect((await askChat(chat(model), { headers })).status).toBe(200);
  });

  it.each([
    'soon',
    '10',
    '-5s',
    '1h30m',
    '2020-01-31T12:00:00Z',
    '2030-02-31',
    '',
    '0ms',
    '2030-02-31T12:00:00Z',
    `${'9'.repeat(400)}d`,
  ])('x-millrace-deadline: %j is refused', async (value) => {
    const answer = await askChat(chat(model), { headers: { 'x-millrace-deadline': value } });
    expect(answer.status).toBe(400);
    expect(errorOf(answer)).toMatchObject({ type, param: 'x-millrace-deadline' });
    const job = await ask('/v1/jobs', { body: { deadline: value, body: chat(model) } });
    expect(job.status).toBe(400);
    expect(errorOf(job)).toMatchObject({ type, param: 'deadline' });
  });

  it.each(['30s', '2099-01-31T12:00:00Z'])('x-millrace-deadline: %s is taken', async (value) => {
    const answer = await askChat(chat(model), { headers: { 'x-millrace-deadline': value } });
    expect(answer.status).toBe(200);
  });

  it('longer than Node takes gets 431, and a body that says so', async () => {
    const answer = await ask('/v1/models', { headers: { 'x-long': 'x'.repeat(20_000) } });
    expect(answer.status).toBe(431);
    expect(errorOf(answer)).toMatchObject({ type });
  });
});

describe('a path or method', () => {
  it.each([
    ['GET', '/v1/chat/completions', 'POST'],
    ['PUT', '/v1/chat/completions', 'POST'],
    ['DELETE', '/v1/chat/completions', 'POST'],
    ['GET', '/v1/jobs', 'POST'],
    ['POST', '/v1/models', 'GET, HEAD'],
    ['PATCH', '/v1/jobs/req_1', 'GET, HEAD, DELETE'],
    ['POST', '/v1/jobs/req_1/events', 'GET, HEAD'],
    ['POST', '/healthz', 'GET, HEAD'],
  ])('%s %s gets 405 and says what is allowed', async (method, path, allow) => {
    const body = method === 'GET' ? undefined : '{}';
    const answer = await ask(path, { method, body });
    expect(answer.status).toBe(405);
    expect(answer.headers.allow?.split(', ').sort()).toEqual(allow.split(', ').sort());
    expect(errorOf(answer)).toMatchObject({ type, code: 'method_not_supported' });
  });

  it.each([
    ['GET', '/'],
    ['GET', '/v1'],
    ['POST', '/v1/files'],
    ['POST', '/v1/chat/completions/extra'],
    ['GET', '/v1/jobs/a/b/c'],
    ['GET', '/V1/MODELS'],
    ['GET', `/${'x'.repeat(8000)}`],
    ['GET', '/v1/../../etc/passwd'],
  ])('%s %s gets 404', async (method, path) => {
    const answer = await ask(path, { method, body: method === 'GET' ? undefined : '{}' });
    expect(answer.status).toBe(404);
    expect(errorOf(answer)).toMatchObject({ type, code: 'unknown_url' });
    // It lists what is served, and at most a part of the path.
    expect(errorOf(answer).message.length).toBeLessThan(1500);
  });

  it.each(['/v1/jobs/%zz', '/v1/models/%', '/%c3'])('%s is no URL', async (path) => {
    const answer = await ask(path);
    expect(answer.status).toBe(400);
    expect(errorOf(answer)).toMatchObject({ type });
  });

  it('in words that are no HTTP gets 400 and an end', async () => {
    expect(await rawAnswer('HELO millrace\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
  });
});

describe('an answer', () => {
  const chatPath = '/v1/chat/completions';
  it.each<[number, string, SendOptions?]>([
    [200, '/healthz'],
    [200, '/metrics'],
    [200, '/v1/models'],
    [200, '/v1/models', { method: 'HEAD' }],
    [404, '/v1/nothing'],
    [405, chatPath],
    [400, '/v1/jobs/%zz'],
    [414, `/v1/jobs/${'x'.repeat(5000)}`],
    [431, '/v1/models', { headers: { 'x-long': 'x'.repeat(20_000) } }],
    [401, '/v1/models', { headers: { authorization: 'Bearer wrong' } }],
    [404, `/v1/jobs/${newRequestId(0, Date.now())}`],
    [410, `/v1/jobs/${newRequestId(0, 0)}`],
    [400, chatPath, { body: '{' }],
    [404, chatPath, { body: chat('unknown') }],
    [415, chatPath, { body: '', headers: { 'content-type': 'text/plain' } }],
    [413, chatPath, { body: 'x'.repeat(bodyLimit + 1) }],
    [403, '/admin/queues', { headers: { origin: 'http://evil.example' } }],
  ])('with status %i to %s has a request id of its own', async (status, path, options) => {
    const answers = [await ask(path, options), await ask(path, options)];
    const ids = answers.map(({ headers }) => headers['x-request-id']);
    // Not those of a HEAD request or of a success.
    for (const answer of answers.filter(() => status >= 400)) {
      const { request_id } = (jsonOf(answer) as { error: { request_id: string } }).error;
      expect(request_id).toBe(answer.headers['x-request-id']);
    }
    expect(answers.map((answer) => answer.status)).toEqual([status, status]);
    for (const id of ids) expect(id).toMatch(/^req_\d+_[0-9a-z]{33}$/);
    expect(ids[0]).not.toBe(ids[1]);
  });

  it('about a request that is kept has the id of that request', async () => {
    const made = await ask('/v1/jobs', { body: { body: chat(model) } });
    const { id } = jsonOf(made) as { id: string };
    const answers = [made];
    for (const path of ['', '/events', '/events?after=x'])
      answers.push(await ask(`/v1/jobs/${id}${path}`));
    answers.push(await ask(`/v1/jobs/${id}`, { method: 'DELETE' }));
    expect(answers.map(({ headers }) => headers['x-request-id'])).toEqual(answers.map(() => id));
  });

  it('has a request id also where no HTTP was understood, and to a handshake', async () => {
    expect(await rawAnswer('HELO millrace\r\n\r\n')).toMatch(
      /^x-request-id: (req_\w+)\r\n[^]*"request_id":"\1"/m,
    );
    const opened = await rawAnswer(handshake(), (text) => text.includes('\r\n\r\n'));
    expect(opened).toMatch(/^HTTP\/1\.1 101 /);
    expect(opened).toMatch(/^x-request-id: req_/m);
    const refused = await rawAnswer(handshake({ authorization: 'Bearer wrong' }));
    expect(refused).toMatch(/^HTTP\/1\.1 401 /);
    expect(refused).toMatch(/^x-request-id: req_/m);
  });
});

describe('a request id', () => {
  const known = newRequestId(0, Date.now());
  const paths = (id: string): [string, string][] => [
    ['GET', `/v1/jobs/${id}`],
    ['DELETE', `/v1/jobs/${id}`],
    ['GET', `/v1/jobs/${id}/events`],
  ];

  it.each([
    'x',
    'req_1',
    '17',
    known.toUpperCase(),
    `${known}0`,
    `{millrace:0}:req:${known}`,
    '..%2f..%2fetc',
    'req_0_%00',
    '*',
    'é'.repeat(20),
    'x'.repeat(199),
  ])('that is none of ours, %s, gets 404', async (id) => {
    for (const [method, path] of paths(encodeURI(id).replaceAll('%25', '%'))) {
      const answer = await ask(path, { method });
      expect(answer.status).toBe(404);
      expect(errorOf(answer)).toMatchObject({ type });
      expect(errorOf(answer).message.length).toBeLessThan(400);
    }
  });

  it('that is longer than any of ours gets 414', async () => {
    for (const [method, path] of paths('x'.repeat(5000))) {
      const answer = await ask(path, { method });
      expect(answer.status).toBe(414);
      expect(errorOf(answer)).toMatchObject({ type });
      expect(errorOf(answer).message.length).toBeLessThan(400);
    }
  });

  it('that nobody has seen gets 404, and 410 past every retention', async () => {
    const unknown = [newRequestId(0, Date.now()), newRequestId(7, Date.now())];
    for (const [method, path] of unknown.flatMap(paths)) {
      const answer = await ask(path, { method });
      expect(answer.status).toBe(404);
      expect(errorOf(answer)).toMatchObject({ code: 'job_not_found' });
    }
    for (const [method, path] of paths(newRequestId(0, 0))) {
      const answer = await ask(path, { method });
      expect(answer.status).toBe(410);
      expect(errorOf(answer)).toMatchObject({ code: 'job_expired' });
    }
  });

  it("that is somebody else's gets 404, like one that is not there", async () => {
    const made = await ask('/v1/jobs', { body: { body: chat(model) } });
    const { id } = jsonOf(made) as { id: string };
    for (const [method, path] of paths(id)) {
      const answer = await ask(path, { method, headers: theirs });
      expect(answer.status).toBe(404);
      expect(errorOf(answer)).toMatchObject({ code: 'job_not_found' });
    }
    const events = await ask(`/v1/jobs/${id}/events`);
    expect(eventsOf(events.text).at(-1)?.event).toBe('done');
  });
});

describe('a cursor', () => {
  const finishedJob = async (): Promise<string> => {
    const made = await ask('/v1/jobs', { body: { body: chat(model, { stream: true }) } });
    const { id } = jsonOf(made) as { id: string };
    await ask(`/v1/jobs/${id}/events`);
    return id;
  };

  it.each(['x', '1', '-', '1-', '1-2-3', '01-1', '-1-1', '1.5-1', '$', '99999999999-1', ' 1-1'])(
    '%j is refused',
    async (cursor) => {
      const id = await finishedJob();
      const answers = {
        after: await ask(`/v1/jobs/${id}/events?after=${encodeURIComponent(cursor)}`),
        'Last-Event-ID': await ask(`/v1/jobs/${id}/events`, {
          // A header has no white space around its value.
          headers: { 'last-event-id': cursor === ' 1-1' ? '1 -1' : cursor },
        }),
      };
      for (const [param, answer] of Object.entries(answers)) {
        expect(answer.status).toBe(400);
        expect(errorOf(answer)).toMatchObject({ type, param, code: 'invalid_cursor' });
      }
    },
  );

  it.each(['1-100000', '2-1', '9999999999-999999999999999'])(
    '%s, past the end, gets a reset and the whole stream',
    async (cursor) => {
      const id = await finishedJob();
      const whole = eventsOf((await ask(`/v1/jobs/${id}/events`)).text);
      const answer = await ask(`/v1/jobs/${id}/events?after=${cursor}`);
      expect(answer.status).toBe(200);
      const [reset, ...rest] = eventsOf(answer.text);
      expect(reset).toMatchObject({ event: 'reset', data: '{"reason":"cursor_ahead"}' });
      expect(rest).toEqual(whole);
    },
  );

  it('at the very start, or empty, is the start', async () => {
    const id = await finishedJob();
    const whole = eventsOf((await ask(`/v1/jobs/${id}/events`)).text);
    const fromStart = await ask(`/v1/jobs/${id}/events?after=0-0`);
    expect(eventsOf(fromStart.text)).toEqual(whole);
    const empty = await ask(`/v1/jobs/${id}/events`, { headers: { 'last-event-id': '' } });
    expect(eventsOf(empty.text)).toEqual(whole);
  });
});

describe('after all of it', () => {
  it('the same processes serve as before', async () => {
    expect(processIds()).toEqual(pids);
    const answer = await complete(fleet.url, chat(model, { stream: true }), mine).ended;
    expect(contentOf(eventsOf(answer.text))).toBe(expectedText({ tokens: 20 }));
    expect((await ask('/readyz')).status).toBe(200);
  });

  it('nothing is left in Redis that stays for ever', async () => {
    const redis = fleet.redis.connect();
    const lasting: string[] = [];
    const bodies: string[] = [];
    for (const key of await redis.keys('*')) {
      // BullMQ's own book, which is given an end of life now and then; its jobs are not in it.
      if (key.startsWith('{millrace:0}:requests:') && !key.includes('req_')) continue;
      // -2: it has gone since it was listed.
      if ((await redis.pttl(key)) === -1) lasting.push(key);
      if (key.includes(':body:')) bodies.push(key);
    }
    expect(lasting).toEqual([]);
    // Every request has ended by now or will in a moment, and its body goes with it.
    await expect.poll(() => redis.exists('none', ...bodies)).toBe(0);
  });
});
