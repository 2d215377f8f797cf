import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { post } from './ask.ts';
import { postMessage } from './ask-messages.ts';
import type { Simulator } from './index.ts';
import { startSimulator } from './index.ts';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator();
});
afterAll(() => simulator.close());

const user = { role: 'user', content: 'hello' };

describe('what the Messages API refuses', () => {
  it.each([
    ['max_tokens: Field required', { max_tokens: undefined }],
    ['max_tokens: Input should be a valid integer', { max_tokens: '5' }],
    ['max_tokens: Input should be greater', { max_tokens: 0 }],
    ['messages: Field required', { messages: undefined }],
    ['messages: at least one message is required', { messages: [] }],
    ['messages: Unexpected role "tool"', { messages: [user, { role: 'tool', content: 'x' }] }],
    [
      'cannot end with trailing whitespace',
      { messages: [user, { role: 'assistant', content: 'a ' }] },
    ],
    ['model: Field required', { model: undefined }],
  ])('%s', async (message, body) => {
    const response = await postMessage(simulator.url, { model: 'healthy', ...body });
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      type: 'error',
      error: { type: 'invalid_request_error', message: expect.stringContaining(message) },
      request_id: response.headers.get('request-id'),
    });
  });

  it.each([
    [{}, 'anthropic-version: header is required'],
    [{ 'anthropic-version': '2023-06-01, 2023-06-01' }, 'is not a valid version'],
  ])('a request with the headers %j', async (headers, message) => {
    const response = await postMessage(simulator.url, { model: 'healthy' }, { headers });
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { error: { type: 'invalid_request_error', message: expect.stringContaining(message) } },
    ]);
  });

  it('sampling parameters, from the version on that removed them', async () => {
    const statuses = ['2023-06-01', '2026-10-21'].map(async (version) => {
      const headers = { 'anthropic-version': version };
      const body = { model: 'healthy', temperature: 1 };
      return (await postMessage(simulator.url, body, { headers })).status;
    });
    expect(await Promise.all(statuses)).toEqual([200, 400]);
  });

  it('an unknown model, and a body that is no JSON', async () => {
    const response = await postMessage(simulator.url, { model: 'claude-sonnet-4-5' });
    expect([response.status, await response.json()]).toMatchObject([
      404,
      { type: 'error', error: { type: 'not_found_error' } },
    ]);
    const init = { method: 'POST', body: '{', headers: { 'anthropic-version': '2023-06-01' } };
    const broken = await fetch(`${simulator.url}/v1/messages`, init);
    expect([broken.status, await broken.json()]).toMatchObject([400, { type: 'error' }]);
    const nowhere = await fetch(`${simulator.url}/v1/message`, init);
    expect([nowhere.status, await nowhere.json()]).toMatchObject([
      404,
      {
        type: 'error',
        error: { type: 'not_found_error', message: expect.stringContaining('/v1/message') },
      },
    ]);
  });

  it('a wrong key, in either of its two headers', async () => {
    await using locked = await startSimulator({ apiKey: 'sk-right' });
    const version = { 'anthropic-version': '2023-06-01' };
    const status = async (headers: Record<string, string>) =>
      (await postMessage(locked.url, { model: 'healthy' }, { headers })).status;
    expect(await status({ ...version, 'x-api-key': 'sk-right' })).toBe(200);
    expect(await status({ ...version, authorization: 'Bearer sk-right' })).toBe(200);
    expect(await status({ ...version, authorization: 'Bearer sk-wrong' })).toBe(401);
    expect(await status(version)).toBe(401);
    const wrong = await postMessage(
      locked.url,
      { model: 'healthy' },
      { headers: { ...version, 'x-api-key': 'sk-wrong' } },
    );
    expect([wrong.status, await wrong.json()]).toMatchObject([
      401,
      { error: { type: 'authentication_error', message: 'invalid x-api-key' } },
    ]);
    const chat = await post(
      locked.url,
      { model: 'healthy' },
      { headers: { 'x-api-key': 'sk-right' } },
    );
    expect(chat.status).toBe(401);
    const models = (headers: Record<string, string>) =>
      fetch(`${locked.url}/v1/models`, { headers });
    expect((await models({ 'x-api-key': 'sk-right' })).status).toBe(200);
    expect((await models({ ...version, 'x-api-key': 'sk-wrong' })).status).toBe(401);
  });
});

describe('the request log', () => {
  it('has the requests of both formats in one list', async () => {
    simulator.reset();
    await (await post(simulator.url, { model: 'healthy' })).text();
    await (await postMessage(simulator.url, { model: 'healthy' })).text();
    expect(simulator.requests.map(({ path, tokens }) => [path, tokens])).toEqual([
      ['/v1/chat/completions', 60],
      ['/v1/messages', 60],
    ]);
  });
});
