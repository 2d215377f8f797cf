import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, chunksOf, post } from './ask.ts';
import type { Simulator } from './index.ts';
import { expectedText, startSimulator } from './index.ts';
import { expectedTokens } from './text.ts';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator();
});
afterAll(() => simulator.close());

const whole = expectedText({ tokens: 60 });
const part = (tokens: number) => expectedText({ tokens });

describe('faults before the stream begins', () => {
  it('S01 strikes once, with Retry-After', async () => {
    const first = await ask(simulator.url, 's01');
    expect(first.status).toBe(429);
    expect(first.headers.get('retry-after')).toBe('2');
    expect(JSON.parse(first.raw)).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
    expect((await ask(simulator.url, 's01')).text).toBe(whole);
  });

  it('remembers a fault apart for each key and each user', async () => {
    const statuses: number[] = [];
    for (const [model, user] of [
      ['s03:key=a', 'x'],
      ['s03:key=b', 'x'],
      ['s03:key=b', 'y'],
      ['s03:key=b', 'x'],
    ]) {
      statuses.push((await ask(simulator.url, model ?? '', { user })).status);
    }
    expect(statuses).toEqual([500, 500, 500, 200]);
  });

  it('strikes as often as `times` says, and again after it was told to forget', async () => {
    const model = 'status:code=503,times=2,key=forget';
    const status = async () => (await ask(simulator.url, model)).status;
    expect([await status(), await status(), await status()]).toEqual([503, 503, 200]);
    await fetch(`${simulator.url}/__faults`, { method: 'DELETE' });
    expect(await status()).toBe(503);
  });

  it('S15 heals when its time is over', async () => {
    expect((await ask(simulator.url, 's15:down=80')).status).toBe(503);
    await expect
      .poll(async () => (await ask(simulator.url, 's15:down=80')).status, { interval: 20 })
      .toBe(200);
  });

  it('S05 resets the connection before any head, once', async () => {
    await expect(ask(simulator.url, 's05')).rejects.toMatchObject({
      cause: { code: 'ECONNRESET' },
    });
    expect((await ask(simulator.url, 's05')).text).toBe(whole);
  });

  it('S06 is silent until the client leaves', async () => {
    const controller = new AbortController();
    const answer = post(simulator.url, { model: 's06' }, { signal: controller.signal });
    const seen = await simulator.waitFor(({ model }) => model === 's06');
    expect(seen).toMatchObject({ state: 'open', status: undefined, tokens: 0 });
    controller.abort();
    await expect(answer).rejects.toThrow('aborted');
    await simulator.waitFor(({ model, state }) => model === 's06' && state !== 'open');
  });

  it.each([
    ['s02', 429, 'rate_limit_exceeded'],
    ['s04', 503, 'overloaded'],
    ['s12', 400, 'context_length_exceeded'],
    ['s13', 400, 'content_filter'],
    ['s16', 503, 'overloaded'],
    ['status', 503, 'overloaded'],
    ['status:error=insufficient_quota', 429, 'insufficient_quota'],
    ['status:code=401', 401, 'invalid_api_key'],
    ['status:code=404', 404, 'model_not_found'],
    ['status:code=529', 529, null],
    ['json-error-200', 200, null],
  ])('%s answers %i with the code %s, each time', async (model, status, code) => {
    for (const stream of [true, true, false]) {
      const response = await post(simulator.url, { model, stream });
      expect(response.status).toBe(status);
      expect(await response.json()).toMatchObject({ error: { code } });
    }
  });

  it.each([
    'status:code=400,echo=1',
    'status:code=502,body=html,echo=1',
    'json-error-200:echo=1',
    'error-first-event:echo=1',
    'error-event:after=2,echo=1',
    'error-in-chunk:after=2,echo=1',
  ])('can repeat the request in its error: %s', async (model) => {
    const messages = [{ role: 'user', content: 'the words of the prompt' }];
    const response = await post(simulator.url, { model, stream: true, messages });
    expect(await response.text()).toContain('the words of the prompt');
  });

  it('answers with HTML, or with nothing at all', async () => {
    const page = await ask(simulator.url, 'status:code=502,body=html');
    expect([page.status, page.headers.get('content-type')]).toEqual([
      502,
      'text/html; charset=utf-8',
    ]);
    expect((await ask(simulator.url, 'status:code=500,body=empty')).raw).toBe('');
    const login = await ask(simulator.url, 'html-200');
    expect([login.status, login.raw]).toEqual([200, expect.stringContaining('<!doctype html>')]);
    expect(await ask(simulator.url, 'empty-200')).toMatchObject({ status: 200, raw: '' });
  });

  it('keeps the head back', async () => {
    const began = performance.now();
    const response = await post(simulator.url, { model: 'slow-headers:headers=120', stream: true });
    expect(performance.now() - began).toBeGreaterThanOrEqual(119);
    expect(await response.text()).toContain('[DONE]');
  });
});

describe('faults in mid-answer', () => {
  it.each(['s08', 's14', 'cut', 'cut:pace=1,how=reset', 'cut:unicode=1,bytes=50'])(
    '%s cuts the socket after exactly 40 tokens, without a terminator',
    async (model) => {
      const got = await ask(simulator.url, model);
      const unicode = model.includes('unicode') ? 1 : 0;
      expect(got).toMatchObject({
        text: expectedText({ tokens: 40, unicode }),
        broken: true,
        terminated: false,
        finish: undefined,
      });
    },
  );

  it('can cut inside an event, and heal', async () => {
    const model = 'cut:after=3,byte=20,times=1';
    const got = await ask(simulator.url, model);
    expect(got.text).toBe(part(3));
    expect(got.raw.endsWith('data: {"id":"chatcmp')).toBe(true);
    expect(await ask(simulator.url, model)).toMatchObject({ text: whole, terminated: true });
  });

  it('can cut inside a tool call', async () => {
    const got = await ask(simulator.url, 'cut:say=tools,after=3', {
      tools: [{ type: 'function', function: { name: 'weather' } }],
    });
    expect(chunksOf(got.events)).toHaveLength(1 + 3);
    expect(got).toMatchObject({ broken: true, finish: undefined });
  });

  it('S07 sends its head at once and its first token late', async () => {
    await using own = await startSimulator();
    const response = await post(own.url, { model: 's07:first=60000', stream: true });
    expect(own.requests[0]).toMatchObject({ state: 'open', tokens: 0 });
    own.hurry();
    expect(await response.text()).toContain('[DONE]');
  });

  it('S09 falls silent after 20 tokens, then closes', async () => {
    const got = await ask(simulator.url, 's09:silence=60');
    expect(got).toMatchObject({ text: part(20), broken: true, terminated: false });
  });

  it('S10 has one malformed event among a whole answer', async () => {
    const got = await ask(simulator.url, 's10');
    const broken = got.events.filter(({ data }) => data !== '[DONE]' && !data.endsWith('}'));
    expect(broken).toHaveLength(1);
    expect(got).toMatchObject({ text: whole, terminated: true, finish: 'stop' });
  });

  it('has one event of the answer cut in its JSON, and a whole answer cut as well', async () => {
    const got = await ask(simulator.url, 'damaged-event:tokens=3,after=1');
    const [first, , third] = expectedTokens({ tokens: 3 });
    expect(got).toMatchObject({ text: `${first}${third}`, terminated: true, finish: 'stop' });
    expect(got.events.filter(({ data }) => data !== '[DONE]' && !data.endsWith('}'))).toHaveLength(
      1,
    );
    const reply = await fetch(`${simulator.url}/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'damaged-event', messages: [{ role: 'user', content: 'x' }] }),
    });
    await expect(reply.json()).rejects.toThrow(SyntaxError);
  });

  it('S11 is complete but has no terminator', async () => {
    const got = await ask(simulator.url, 's11', { stream_options: { include_usage: true } });
    expect(got).toMatchObject({ text: whole, finish: 'stop', terminated: false, broken: false });
    expect(chunksOf(got.events).at(-1)?.usage).toMatchObject({ completion_tokens: 60 });
  });

  it('ends cleanly in mid-answer, with or without a terminator', async () => {
    const without = await ask(simulator.url, 'end-without-finish:after=5');
    expect(without).toMatchObject({ text: part(5), broken: false, terminated: false });
    const terminated = await ask(simulator.url, 'end-without-finish:after=5,done=1');
    expect(terminated).toMatchObject({ text: part(5), finish: undefined, terminated: true });
  });

  it('sends a role chunk and nothing else', async () => {
    const got = await ask(simulator.url, 'role-only');
    expect(chunksOf(got.events)).toMatchObject([{ choices: [{ delta: { role: 'assistant' } }] }]);
  });

  it('resets the connection after finish_reason', async () => {
    const got = await ask(simulator.url, 'reset-after-finish');
    expect(got).toMatchObject({ text: whole, finish: 'stop', broken: true, terminated: false });
  });

  it('hides a stall behind comments', async () => {
    const got = await ask(simulator.url, 'stall-with-comments:after=2,every=10,silence=50');
    expect(got).toMatchObject({ text: part(2), broken: true });
    expect(got.raw.match(/^: keep-alive$/gmu)).toHaveLength(5);
  });

  it('sends errors in every shape', async () => {
    const error = { message: expect.any(String), type: 'server_error', param: null, code: null };
    const first = await ask(simulator.url, 'error-first-event');
    expect(first.events.map(({ data }) => JSON.parse(data))).toEqual([{ error }]);
    const named = (await ask(simulator.url, 'error-event:after=4')).events;
    expect(named.at(-1)?.event).toBe('error');
    expect(named).toHaveLength(1 + 4 + 1);
    const chunked = await ask(simulator.url, 'error-in-chunk:after=4,error=insufficient_quota');
    expect(chunked).toMatchObject({ text: part(4), terminated: true });
    expect(chunksOf(chunked.events).at(-1)).toMatchObject({
      choices: [],
      error: { code: 'insufficient_quota' },
    });
  });
});

describe('faults of requests without stream', () => {
  it('breaks off in the middle of the JSON', async () => {
    const response = await post(simulator.url, { model: 's08' });
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow('terminated');
  });

  it('turns an error in the stream into the status of the response', async () => {
    const response = await post(simulator.url, { model: 'error-in-chunk' });
    expect(response.status).toBe(500);
  });

  it('is whole when the connection is reset after the finish', async () => {
    const response = await post(simulator.url, { model: 'reset-after-finish' });
    expect(await response.json()).toMatchObject({ choices: [{ message: { content: whole } }] });
  });
});
