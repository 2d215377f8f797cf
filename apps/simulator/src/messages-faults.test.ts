import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askMessage, postMessage } from './ask-messages.ts';
import type { Simulator } from './index.ts';
import { expectedText, startSimulator } from './index.ts';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator();
});
afterAll(() => simulator.close());

const whole = expectedText({ tokens: 60 });
const part = (tokens: number) => expectedText({ tokens });

describe('faults of the Messages API before the stream begins', () => {
  it.each([
    ['s02', 429, 'rate_limit_error', "exceed your account's rate limit"],
    ['s04', 503, 'api_error', '503'],
    ['s12', 400, 'invalid_request_error', 'prompt is too long: 250000 tokens > 200000 maximum'],
    ['s13', 400, 'invalid_request_error', 'Output blocked by content filtering policy'],
    ['s16', 503, 'api_error', '503'],
    ['status', 529, 'overloaded_error', 'Overloaded'],
    ['status:code=401', 401, 'authentication_error', 'invalid x-api-key'],
    ['status:code=404', 404, 'not_found_error', 'model'],
    ['status:code=413', 413, 'request_too_large', 'maximum size'],
    ['status:code=500', 500, 'api_error', 'Internal server error'],
    ['status:code=529', 529, 'overloaded_error', 'Overloaded'],
    ['status:error=overloaded,code=503', 503, 'overloaded_error', 'Overloaded'],
    ['status:error=insufficient_quota', 400, 'invalid_request_error', 'credit balance'],
    ['json-error-200:error=overloaded,code=200', 200, 'overloaded_error', 'Overloaded'],
  ])('%s answers %i with the type %s, each time', async (model, status, type, message) => {
    for (const stream of [true, true, false]) {
      const response = await postMessage(simulator.url, { model, stream });
      expect(response.status).toBe(status);
      expect(await response.json()).toEqual({
        type: 'error',
        error: { type, message: expect.stringContaining(message) },
        request_id: expect.stringMatching(/^req_sim_\d+$/u),
      });
    }
  });

  it('strike once, with Retry-After, and apart from those of another user', async () => {
    const first = await askMessage(simulator.url, 's01');
    expect([first.status, first.headers.get('retry-after')]).toEqual([429, '2']);
    expect((await askMessage(simulator.url, 's01')).text).toBe(whole);
    const other = { metadata: { user_id: 'other' } };
    expect((await askMessage(simulator.url, 's01', other)).status).toBe(429);
    expect((await askMessage(simulator.url, 's03')).status).toBe(500);
    expect((await askMessage(simulator.url, 's03')).text).toBe(whole);
    expect((await askMessage(simulator.url, 's15:down=10000')).status).toBe(503);
    await expect(askMessage(simulator.url, 's05')).rejects.toThrow('fetch failed');
    expect((await askMessage(simulator.url, 's05')).text).toBe(whole);
  });

  it('answer with HTML, or with nothing at all', async () => {
    const login = await askMessage(simulator.url, 'html-200');
    expect([login.status, login.raw]).toEqual([200, expect.stringContaining('<!doctype html>')]);
    expect(await askMessage(simulator.url, 'empty-200')).toMatchObject({ status: 200, raw: '' });
  });

  it('are silent until the client leaves', async () => {
    const controller = new AbortController();
    const answer = postMessage(
      simulator.url,
      { model: 's06' },
      { signal: controller.signal, headers: { 'anthropic-version': '2023-06-01' } },
    );
    const seen = await simulator.waitFor(({ model }) => model === 's06');
    expect(seen).toMatchObject({ state: 'open', status: undefined, path: '/v1/messages' });
    controller.abort();
    await expect(answer).rejects.toThrow('aborted');
    await simulator.waitFor(({ model, state }) => model === 's06' && state === 'aborted by client');
  });

  it('S07 sends its head at once and its first event late', async () => {
    await using own = await startSimulator();
    const response = await postMessage(own.url, { model: 's07:first=60000', stream: true });
    expect(own.requests[0]).toMatchObject({ state: 'open', tokens: 0 });
    own.hurry();
    expect(await response.text()).toContain('message_stop');
  });
});

describe('faults of the Messages API in mid-answer', () => {
  it.each(['s08', 's14', 'cut:pace=1,how=reset', 'cut:byte=60'])(
    '%s cuts the socket after exactly 40 tokens, without an end',
    async (model) => {
      const got = await askMessage(simulator.url, model);
      expect(got).toMatchObject({
        text: part(40),
        broken: true,
        terminated: false,
        stop: undefined,
      });
      const next = 'event: content_block_delta\ndata: {"type":"content_block_delta","index":0';
      expect(got.raw.endsWith(next.slice(0, 60))).toBe(model.includes('byte'));
    },
  );

  it('cuts inside a tool call, and inside the thinking', async () => {
    const tools = [{ name: 'weather', input_schema: {} }];
    const call = await askMessage(simulator.url, 'cut:say=tools,after=3', { tools });
    expect(call.parsed.at(-1)?.delta?.type).toBe('input_json_delta');
    const thinking = await askMessage(simulator.url, 'cut:reasoning=9,after=5');
    expect(thinking.parsed.at(-1)?.delta?.type).toBe('thinking_delta');
    expect([call, thinking]).toMatchObject([{ broken: true }, { broken: true, text: '' }]);
  });

  it('S09 falls silent after 20 tokens, then closes', async () => {
    const got = await askMessage(simulator.url, 's09:silence=60');
    expect(got).toMatchObject({ text: part(20), broken: true, terminated: false });
  });

  it('S10 has one malformed event among a whole answer', async () => {
    const got = await askMessage(simulator.url, 's10');
    expect(got.events.length - got.parsed.length).toBe(1);
    expect(got).toMatchObject({ text: whole, terminated: true, stop: 'end_turn' });
  });

  it('S11 is complete but has no message_stop', async () => {
    const got = await askMessage(simulator.url, 's11');
    expect(got).toMatchObject({ text: whole, stop: 'end_turn', terminated: false, broken: false });
    expect(got.parsed.at(-1)?.usage).toMatchObject({ output_tokens: 60 });
  });

  it('ends cleanly in mid-answer, and resets after the stop reason', async () => {
    const ended = await askMessage(simulator.url, 'end-without-finish:after=5');
    expect(ended).toMatchObject({ text: part(5), broken: false, stop: undefined });
    expect(ended.events.at(-1)?.event).toBe('content_block_delta');
    const reset = await askMessage(simulator.url, 'reset-after-finish');
    expect(reset).toMatchObject({ text: whole, stop: 'end_turn', broken: true, terminated: false });
  });

  it('hides a stall behind pings, not comments', async () => {
    const got = await askMessage(simulator.url, 'stall-with-comments:after=2,every=10,silence=50');
    expect(got).toMatchObject({ text: part(2), broken: true });
    expect(got.events.filter(({ event }) => event === 'ping')).toHaveLength(1 + 5);
    expect(got.raw).not.toMatch(/^:/mu);
  });

  it.each(['error-event:after=4', 'error-in-chunk:after=4,done=0', 'error-first-event'])(
    '%s is an event named error',
    async (model) => {
      const got = await askMessage(simulator.url, model);
      expect(got.text).toBe(model.includes('first') ? '' : part(4));
      expect(got.events.at(-1)?.event).toBe('error');
      expect(got.parsed.at(-1)).toEqual({
        type: 'error',
        error: { type: 'overloaded_error', message: 'Overloaded' },
        request_id: got.headers.get('request-id'),
      });
    },
  );

  it('turns an error in the stream into the status of a whole answer, and a cut into half of it', async () => {
    expect((await postMessage(simulator.url, { model: 'error-event' })).status).toBe(529);
    const cut = await postMessage(simulator.url, { model: 's08' });
    await expect(cut.text()).rejects.toThrow('terminated');
  });
});
