import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chat, complete, createJob, readEvents, viewJob } from '../kit/api.ts';
import { contentOf, eventsOf } from '../kit/events.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { errorOf, jsonOf } from '../kit/http.ts';
import { openSocket } from '../kit/socket.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';

// Whose fault an error is, and what each party sees of it: the client, the operator, the other targets.

const apiKey = 'sk-test-4f9Qm27LxZ81TbWv';
const token = 'tok-84Qw31Zx77Lp';
const secrets = /4f9Qm27L|org-|proj_|\*{4}/;

type Reply = { status?: number; type?: string; body: unknown; headers?: Record<string, string> };

const openai = (message: string, code: string | null = null, more: object = {}) => ({
  error: { message, type: 'invalid_request_error', param: null, code, ...more },
});
const event = (data: unknown, name?: string) =>
  `${name === undefined ? '' : `event: ${name}\n`}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
const chunk = (delta: object, finish: string | null = null) => ({
  id: 'own-1',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta, finish_reason: finish }],
});
const sse = (...events: string[]): Reply => ({ type: 'text/event-stream', body: events.join('') });
const wholeStream = sse(
  event(chunk({ role: 'assistant', content: 'all is well' })),
  event(chunk({}, 'stop')),
  event('[DONE]'),
);
const wholeAnswer = {
  id: 'own-1',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices: [
    { index: 0, message: { role: 'assistant', content: 'all is well' }, finish_reason: 'stop' },
  ],
};
const deep = `${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`;
const leak = `Incorrect API key provided: ${apiKey}, of org-AbC123xyz, key sk-test-****TbWv.`;

const slowForLong: Reply = {
  status: 429,
  body: {
    error: {
      code: 429,
      status: 'RESOURCE_EXHAUSTED',
      message: 'You exceeded your current quota.',
      details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '48s' }],
    },
  },
};

/** What this provider answers to a model's first call, its second one and so on; the last one stays. */
const replies: Record<string, Reply[]> = {
  'key 401': [{ status: 401, body: openai(leak, 'invalid_api_key') }],
  'key 400': [{ status: 400, body: { code: 'x', error: leak } }],
  'key in an event': [sse(event(openai(leak, 'invalid_api_key'), 'error'))],
  'key in a body': [{ body: openai(leak, 'invalid_api_key') }],
  'no model 404': [{ status: 404, body: openai(`No model in org-AbC123xyz.`, 'model_not_found') }],
  'no model 400': [
    { status: 400, body: { error: { message: 'a/b is not a valid model ID', code: 400 } } },
  ],
  'no credit': [
    { status: 429, body: openai('You exceeded your current quota.', 'insufficient_quota') },
  ],
  'too long': [{ status: 400, body: { message: 'Input is too long for requested model.' } }],
  mistakes: [
    {
      status: 422,
      body: { detail: [{ loc: ['body', 'n'], msg: 'Too small for proj_Ab12Cd34.' }] },
    },
  ],
  'slow in a body': [
    { body: openai('Slow down. Please try again in 0.3s.', 'rate_limit_exceeded') },
    { body: wholeAnswer },
  ],
  'slow in an event': [
    sse(event(openai('Slow down. Please try again in 0.3s.', 'rate_limit_exceeded'))),
    wholeStream,
  ],
  'slow for long': [slowForLong],
  'slow for long, whole': [slowForLong],
  'refuses a field': [
    { status: 400, body: openai('Unrecognized request argument supplied: stream_options') },
    wholeStream,
  ],
  'quotes a value': [
    { status: 400, body: openai("Invalid value: 'stream_options'.") },
    { status: 400, body: openai("Invalid value: 'stream_options'.") },
    wholeStream,
  ],
  'takes no field': [wholeStream],
  'nested chunk': [
    sse(
      event(
        `{"id":"own-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"all is "},"finish_reason":null}],"vendor":${deep}}`,
      ),
      event(
        `{"id":"own-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"well","vendor":${deep}},"finish_reason":null}]}`,
      ),
      event(
        `{"id":"own-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
      ),
      event(
        `{"id":"own-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"vendor":${deep}}}`,
      ),
      event('[DONE]'),
    ),
  ],
  'nested answer': [{ body: `${JSON.stringify(wholeAnswer).slice(0, -1)},"vendor":${deep}}` }],
  'nested error': [
    { status: 400, body: `{"error":{"message":"No.","type":"t","code":"c","vendor":${deep}}}` },
  ],
  'telling answer': [
    sse(
      event(chunk({ role: 'assistant', content: `It is ${apiKey.slice(0, 11)}` })),
      event(chunk({ content: apiKey.slice(11, 14) })),
      event(chunk({ content: `${apiKey.slice(14)}, and ${apiKey}.` })),
      event(chunk({}, 'stop')),
      event('[DONE]'),
    ),
  ],
  'telling additions': [
    { status: 400, body: openai(`Bad token ${token}, key ${apiKey}, api-version 2025-04-01.`) },
    sse(
      event(chunk({ role: 'assistant', content: `It is ${token} of 2025-04-01` })),
      event(chunk({}, 'stop')),
      event('[DONE]'),
    ),
  ],
  'telling type': [{ type: `application/json; key=${apiKey}`, body: wholeAnswer }],
  'telling field': [
    {
      status: 400,
      body: openai('No.', null, { [apiKey]: Buffer.from(apiKey).toString('base64') }),
    },
  ],
};

type Seen = { model: string; at: number; body: Record<string, unknown> };
const seen: (Seen & Pick<IncomingMessage, 'url' | 'headers'>)[] = [];
const callsOf = (model: string) => seen.filter((one) => one.model === model);

let provider: Server;
let fleet: Fleet;
beforeAll(async () => {
  provider = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => (text += part));
    request.on('end', () => {
      const body = JSON.parse(text) as { model: string };
      const all = replies[body.model] ?? [];
      const reply = all[Math.min(callsOf(body.model).length, all.length - 1)];
      const { url, headers: sent } = request;
      seen.push({ model: body.model, at: Date.now(), body, url, headers: sent });
      const { status = 200, type = 'application/json', headers = {} } = reply ?? { status: 500 };
      response.writeHead(status, { 'content-type': type, ...headers });
      response.end(typeof reply?.body === 'string' ? reply.body : JSON.stringify(reply?.body));
    });
  });
  await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
  const { port } = provider.address() as AddressInfo;
  const own = {
    api: 'openai',
    baseUrl: `http://127.0.0.1:${port}/v1`,
    apiKey,
    breaker: { enabled: false },
    check: { kind: 'off' },
  };
  const azure = {
    ...own,
    auth: 'api-key',
    query: { 'api-version': '2025-04-01', sig: token },
    headers: { 'x-team-token': token },
  };
  const names = Object.keys(replies);
  const others = new Set(['takes no field', 'telling additions']);
  const plain = names.filter((name) => !others.has(name));
  fleet = await startFleet({
    models: {
      ...Object.fromEntries(
        plain.map((model) => [model, { targets: [{ provider: 'own', model }], maxWait: '5s' }]),
      ),
      'takes no field': { targets: [{ provider: 'fieldless', model: 'takes no field' }] },
      'telling additions': { targets: [{ provider: 'azure', model: 'telling additions' }] },
      ...Object.fromEntries(
        plain.map((model) => [
          `${model}, backed`,
          {
            targets: [
              { provider: 'own', model },
              { provider: 'backup', model: 'healthy:tokens=5' },
            ],
          },
        ]),
      ),
      'sim/*': { targets: [{ provider: 'primary', model: '*' }] },
      'sim/exact': 'healthy:tokens=3',
      'sim/backed/*': {
        targets: [
          { provider: 'primary', model: '*' },
          { provider: 'backup', model: 'healthy:tokens=5' },
        ],
      },
      slow: 'healthy:tokens=600,pace=30',
      cut: 'cut:after=0',
    },
    config: { providers: { own, azure, fieldless: { ...own, streamOptions: false } } },
  });
});
afterAll(async () => {
  await fleet?.close();
  provider?.closeAllConnections();
  provider?.close();
});

const ask = (model: string, stream: boolean, headers?: Record<string, string>) =>
  complete(fleet.url, chat(model, { stream }), headers).ended;

const textOf = (answer: { text: string }, stream: boolean) =>
  stream
    ? contentOf(eventsOf(answer.text))
    : (jsonOf(answer) as { choices: { message: { content: string } }[] }).choices[0]?.message
        .content;

/** Each of them with a stream and without, but for what is a stream only. */
const both = (...models: string[]) =>
  models.flatMap((model) => [
    ...(model === 'key in a body' ? [] : [[model, true] as const]),
    ...(model === 'key in an event' ? [] : [[model, false] as const]),
  ]);

describe('a fault of the operator’s', () => {
  const faults = both(
    'key 401',
    'key 400',
    'key in an event',
    'key in a body',
    'no model 404',
    'no model 400',
    'no credit',
  );

  it.each(faults)('(%s, stream %s) is mended by the next target', async (model, stream) => {
    const answer = await ask(`${model}, backed`, stream);
    expect(answer.status).toBe(200);
    expect(textOf(answer, stream)).toBe(expectedText({ tokens: 5 }));
  });

  it.each(faults)('(%s, stream %s) is a neutral 502 at the end', async (model, stream) => {
    const answer = await ask(model, stream);
    expect(answer.status).toBe(502);
    expect(errorOf(answer)).toMatchObject({
      type: 'upstream_error',
      code: expect.stringMatching(/^upstream_(auth_failed|model_not_found|quota_exceeded)$/),
      message: expect.stringContaining('operator'),
    });
    expect(answer.text).not.toMatch(/incorrect|model ID|current quota|AbC123/i);
    expect(answer.text).not.toMatch(secrets);
  });

  it('is in the log as an error, with the provider’s code and without its words', async () => {
    await ask('key 401', true);
    const found = () =>
      (fleet.workers[0]?.stderr() ?? '')
        .split('\n')
        .slice(0, -1)
        .filter((line) => line.includes('key 401'))
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .find(({ level }) => level === 50);
    // The answer may be here before the line of the worker's log.
    await expect.poll(found).toMatchObject({
      provider: 'own',
      model: 'key 401',
      code: 'upstream_auth_failed',
      status: 401,
      provider_code: 'invalid_api_key',
    });
    expect(fleet.workers[0]?.stderr()).not.toContain('Incorrect API key');
    expect(fleet.workers[0]?.stderr()).not.toContain(apiKey);
  });

  it('is a code in what the job tells of its attempts, and nothing more', async () => {
    const id = await createJob(fleet.url, chat('key 401', { stream: true }));
    const events = await readEvents(fleet.url, id).ended;
    const view = await viewJob(fleet.url, id);
    expect(view.attempts.map(({ outcome }) => outcome)).toEqual(['upstream_auth_failed']);
    for (const text of [events.text, JSON.stringify(view)]) {
      expect(text).toContain('upstream_auth_failed');
      expect(text).not.toMatch(secrets);
      expect(text).not.toMatch(/incorrect/i);
    }
  });
});

describe('a fault of the client’s', () => {
  it.each([true, false])('is told in the provider’s words (stream %s)', async (stream) => {
    const answer = await ask('mistakes', stream);
    expect(answer.status).toBe(422);
    expect(errorOf(answer)).toMatchObject({ message: 'n: Too small for ***.', param: 'n' });
  });

  it.each([true, false])(
    'is shown to a larger model where it is length (stream %s)',
    async (stream) => {
      const answer = await ask('too long, backed', stream);
      expect(textOf(answer, stream)).toBe(expectedText({ tokens: 5 }));
      const alone = await ask('too long', stream);
      expect(alone.status).toBe(400);
      expect(errorOf(alone)).toMatchObject({
        code: 'context_length_exceeded',
        message: 'Input is too long for requested model.',
      });
    },
  );

  it('has no secret of the operator’s beside it', async () => {
    const answer = await ask('telling field', false);
    expect(errorOf(answer).message).toBe('No.');
    expect(answer.text).not.toMatch(secrets);
    expect(answer.text).not.toContain(Buffer.from(apiKey).toString('base64').slice(0, 12));
    const told = textOf(await ask('telling answer', true), true);
    expect(told).toBe(`It is ${apiKey.slice(0, 8)}***, and ***.`);
    const typed = await ask('telling type', false);
    expect(typed).toMatchObject({ status: 200, headers: { 'content-type': 'application/json' } });
  });
});

it('a provider gets the query and the headers of its config, whose secrets no client sees', async () => {
  const refused = await ask('telling additions', true);
  expect(errorOf(refused).message).toBe('Bad token ***, key ***, api-version 2025-04-01.');
  const told = await ask('telling additions', true);
  expect(textOf(told, true)).toBe('It is *** of 2025-04-01');
  const [call] = callsOf('telling additions');
  expect(call?.url).toBe(`/v1/chat/completions?api-version=2025-04-01&sig=${token}`);
  expect(call?.headers).toMatchObject({ 'api-key': apiKey, 'x-team-token': token });
  expect(call?.headers.authorization).toBeUndefined();
  expect(fleet.workers[0]?.stderr()).not.toContain(token);
});

describe('a provider that says "slow down"', () => {
  it.each([
    ['slow in a body', false],
    ['slow in an event', true],
  ])('(%s) is asked again after the time that it names', async (model, stream) => {
    const answer = await ask(model, stream);
    expect(textOf(answer, stream)).toBe('all is well');
    const [first, second, ...more] = callsOf(model);
    expect(more).toEqual([]);
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(300);
  });

  it.each([true, false])('for long is a 429 that says so (stream %s)', async (stream) => {
    const model = stream ? 'slow for long' : 'slow for long, whole';
    const answer = await ask(model, stream);
    expect(answer.status).toBe(429);
    expect(errorOf(answer).code).toBe('rate_limit_exceeded');
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(40);
    expect(Number(answer.headers['retry-after'])).toBeLessThanOrEqual(48);
    expect(callsOf(model)).toHaveLength(1);
  });
});

describe('a provider that refuses stream_options', () => {
  it('and the same request without it only quotes the client: it is asked as before', async () => {
    expect((await ask('quotes a value', true)).status).toBe(400);
    expect(textOf(await ask('quotes a value', true), true)).toBe('all is well');
    const fields = callsOf('quotes a value').map(({ body }) => body['stream_options']);
    expect(fields).toEqual([{ include_usage: true }, undefined, { include_usage: true }]);
  });

  it('is asked again without, and from then on', async () => {
    for (let i = 0; i < 2; i++) {
      expect(textOf(await ask('refuses a field', true), true)).toBe('all is well');
    }
    const fields = callsOf('refuses a field').map(({ body }) => body['stream_options']);
    expect(fields).toEqual([{ include_usage: true }, undefined, undefined]);
  });

  it('is never asked with it where the config says so', async () => {
    const body = chat('takes no field', { stream: true, stream_options: { include_usage: true } });
    expect(textOf(await complete(fleet.url, body).ended, true)).toBe('all is well');
    expect(callsOf('takes no field').map(({ body }) => 'stream_options' in body)).toEqual([false]);
  });
});

describe('what is nested 5,000 deep', () => {
  it('in a chunk is served to every reader', async () => {
    const answer = await ask('nested chunk', true);
    expect(textOf(answer, true)).toBe('all is well');
    expect(answer.text).toContain('[DONE]');
    const id = await createJob(fleet.url, chat('nested chunk', { stream: true }));
    expect(contentOf(eventsOf((await readEvents(fleet.url, id).ended).text))).toBe('all is well');
    const view = await viewJob(fleet.url, id);
    expect(view).toMatchObject({ status: 'completed' });
    expect(view.result?.choices[0]?.message.content).toBe('all is well');
  });

  it('in a whole answer is served, and in an error is cut', async () => {
    expect(textOf(await ask('nested answer', false), false)).toBe('all is well');
    const id = await createJob(fleet.url, chat('nested answer'));
    await readEvents(fleet.url, id).ended;
    expect((await viewJob(fleet.url, id)).status).toBe('completed');
    const failed = await ask('nested error', false);
    expect(failed.status).toBe(400);
    expect(errorOf(failed)).toMatchObject({ message: 'No.', code: 'c' });
    expect(fleet.workers[0]?.child.exitCode).toBe(null);
  });
});

describe('a deadline that passes in the middle of an answer', () => {
  /** The answer has begun by then, also on a busy machine. */
  const deadlineIn = '2s';

  it('is told as such by a plain stream, by a job and by a whole answer', async () => {
    const deadline = { 'x-millrace-deadline': deadlineIn };
    const [plain, whole, id] = await Promise.all([
      ask('slow', true, deadline),
      ask('slow', false, deadline),
      createJob(fleet.url, chat('slow', { stream: true }), { deadline: deadlineIn }),
    ]);
    const last = JSON.parse(eventsOf(plain.text).at(-1)?.data ?? '{}') as { error?: object };
    expect(contentOf(eventsOf(plain.text))).not.toBe('');
    expect(last.error).toMatchObject({ code: 'deadline_exceeded' });

    await readEvents(fleet.url, id).ended;
    expect((await viewJob(fleet.url, id)).error).toMatchObject({ code: 'deadline_exceeded' });

    expect(whole.status).toBe(504);
    expect(errorOf(whole).code).toBe('deadline_exceeded');
  });

  it('is told as such over a WebSocket', async () => {
    const socket = await openSocket(fleet.url);
    socket.send({ type: 'create', body: chat('slow', { stream: true }), deadline: deadlineIn });
    await expect
      .poll(() => socket.frames.find(({ type }) => type === 'failed'))
      .toMatchObject({
        data: { error: { code: 'deadline_exceeded' } },
      });
    expect(socket.frames.some(({ type }) => type === 'chunk')).toBe(true);
    await socket.close();
  });
});

it('codes of the system are for logs only', async () => {
  const answer = await ask('cut', true);
  expect(answer.status).toBe(502);
  expect(errorOf(answer)).toMatchObject({ code: 'upstream_reset' });
  expect(errorOf(answer).message).toMatch(/^[A-Z][A-Za-z ]+\.$/);
  // The answer may be here before the line of the worker's log.
  await expect
    .poll(() => fleet.workers[0]?.stderr())
    .toMatch(/"model":"cut:after=0"[^\n]*(UND_ERR_SOCKET|ECONNRESET)/);
});

describe('a model that a wildcard serves', () => {
  it('is asked for by the rest of its name; an exact alias comes first', async () => {
    const answer = await ask('sim/healthy:tokens=6', true);
    expect(textOf(answer, true)).toBe(expectedText({ tokens: 6 }));
    expect(answer.headers['x-millrace-served-by']).toBe('primary/healthy:tokens=6');
    const exact = await ask('sim/exact', true);
    expect(textOf(exact, true)).toBe(expectedText({ tokens: 3 }));
  });

  it('can be looked up, with its slash as it is or encoded; the list has the other models', async () => {
    const found = async (path: string) => (await fetch(`${fleet.url}/v1/models${path}`)).json();
    for (const id of ['/sim/anything', '/sim%2Fanything']) {
      expect(await found(id)).toMatchObject({ id: 'sim/anything', object: 'model' });
    }
    expect(await found('/other/anything')).toMatchObject({ error: { code: 'model_not_found' } });
    const { data } = (await found('')) as { data: { id: string }[] };
    const ids = data.map(({ id }) => id);
    expect(ids).toContain('sim/exact');
    expect(ids).not.toContain('sim/*');
  });

  it.each([true, false])(
    'and that the provider does not have is the client’s 404 (stream %s)',
    async (stream) => {
      const answer = await ask('sim/made-up', stream);
      expect(answer.status).toBe(404);
      expect(errorOf(answer)).toMatchObject({
        type: 'invalid_request_error',
        param: 'model',
        code: 'model_not_found',
        message: expect.stringContaining("'sim/made-up'"),
      });
      const backed = await ask('sim/backed/made-up', stream);
      expect(textOf(backed, stream)).toBe(expectedText({ tokens: 5 }));
    },
  );

  it('is counted under its alias, and has series of its own only where a provider answered', async () => {
    await ask('sim/healthy:tokens=7', true);
    for (let n = 0; n < 5; n++) await ask(`sim/made-up-${n}`, true);
    const metrics = async () => (await fetch(`${fleet.url}/metrics`)).text();
    await expect.poll(metrics).toContain('provider="primary",model="healthy:tokens=7"');
    expect(await metrics()).toMatch(/millrace_responses_total\{model="sim\/\*"/);
    expect(await metrics()).not.toContain('made-up');
    const job = await createJob(fleet.url, chat('sim/healthy:tokens=7'));
    await expect.poll(async () => (await viewJob(fleet.url, job)).status).toBe('completed');
  });
});
