import { createConfig, lintFromString } from '@redocly/openapi-core';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { elsewhere } from '../../apps/ingress/src/api/openapi/error-groups.ts';
import { errorTable } from '../../apps/ingress/src/errors.ts';
import { chat } from '../kit/api.ts';
import { browserPath, openPage, phone, startBrowser, takePicture } from '../kit/browser.ts';
import { eventsOf } from '../kit/events.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, jsonOf } from '../kit/http.ts';
import { send } from '../kit/exchange.ts';
import type { SendOptions } from '../kit/exchange.ts';
import { openSocket } from '../kit/socket.ts';

type Media = Record<string, { schema: Record<string, unknown> }>;
type Operation = { responses: Record<string, { description: string; content?: Media }> };
type Document = { openapi: string; paths: Record<string, Record<string, Operation>> };

const model = 'healthy:tokens=5';
const secret = 'secret-of-the-documented-key';
const authorization = { authorization: `Bearer ${secret}` };
let fleet: Fleet;
let text: string;
let document: Document;
beforeAll(async () => {
  fleet = await startFleet({
    models: { [model]: model, 'a/b': model },
    config: { keys: [{ id: 'documented', secret }] },
  });
  ({ text } = await call(`${fleet.url}/openapi.json`));
  document = JSON.parse(text) as Document;
});
afterAll(() => fleet?.close());

/** `/v1/jobs/{id}` as `/v1/jobs/{}`. */
const unnamed = (path: string) => path.replaceAll(/\{[^}]+\}/g, '{}');

describe('the OpenAPI document', () => {
  it('is valid and clean by the strict rules of Redocly', async () => {
    expect(document.openapi).toBe('3.1.0');
    const config = await createConfig({ extends: ['recommended-strict'] });
    const problems = await lintFromString({ source: text, config });
    expect(problems.map(({ ruleId, message }) => `${ruleId}: ${message}`)).toEqual([]);
  });

  it('has every route that is served outside of the admin API, and no other', async () => {
    const { text: unknown } = await call(`${fleet.url}/no/such/path`);
    const [, list = ''] = /Served here: (.*)\."/.exec(unknown) ?? [];
    const served = list.split(', ').flatMap((one) => {
      const [methods = '', path = ''] = one.split(' ');
      return methods.split('|').map((method) => `${method} ${unnamed(path)}`);
    });
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${unnamed(path)}`),
    );
    expect(served.length).toBeGreaterThan(10);
    expect(described.sort()).toEqual(served.sort());
  });

  it('has every error of the table with its status', () => {
    const responses = Object.values(document.paths)
      .flatMap((methods) => Object.values(methods))
      .flatMap((operation) => Object.entries(operation.responses));
    const isDescribed = (code: string, status: number) =>
      responses.some(
        ([of, { description }]) => of === String(status) && description.includes(`\`${code}\``),
      );
    const others = new Set<string>(Object.values(elsewhere).flat());
    const missing = Object.entries(errorTable)
      .filter(([code, row]) => !('unnamed' in row) && !others.has(code))
      .filter(([code, { status }]) => !isDescribed(code, status));
    expect(missing.map(([code]) => code)).toEqual([]);
  });

  it('names nothing of the config, and needs no key, as its page does not', async () => {
    const page = await call(`${fleet.url}/docs`);
    expect(page).toMatchObject({
      status: 200,
      headers: { 'content-type': 'text/html; charset=utf-8' },
    });
    for (const public_ of [text, page.text]) {
      expect(public_).not.toContain(model);
      expect(public_).not.toContain('documented-key');
    }
    expect(page.headers['content-security-policy']).toContain("default-src 'none'");
  });
});

describe('the schemas of the document are those of', () => {
  const ajv = new Ajv2020({ strict: false });
  /** Throws if the value has a member that its schema does not name, too. */
  function validate(schema: Record<string, unknown>, value: unknown): void {
    if (!ajv.getSchema('document'))
      ajv.addSchema({ ...(closed(document) as object), $id: 'document' });
    const absolute = JSON.parse(
      JSON.stringify(closed(schema)).replaceAll('"#/', '"document#/'),
    ) as Record<string, unknown>;
    const isValid = ajv.validate(absolute, value);
    expect([isValid, ajv.errors?.slice(0, 5), value]).toEqual([true, undefined, value]);
  }

  /** Calls a route, and validates its answer. */
  async function expectAnswer(
    [method, path]: [string, string],
    status: number,
    options: SendOptions = {},
    url = path,
  ): Promise<string> {
    const headers = { ...authorization, ...options.headers };
    const answer = await send(`${fleet.url}${url}`, { ...options, headers, method }).ended;
    const [type = ''] = answer.headers['content-type']?.split(';') ?? [];
    const { responses } = document.paths[path]?.[method.toLowerCase()] ?? { responses: {} };
    const schema = responses[status]?.content?.[type]?.schema;
    expect([answer.status, type, typeof schema]).toEqual([status, type, 'object']);
    if (type !== 'text/event-stream') validate(schema ?? {}, jsonOf(answer));
    for (const { event, id, data } of type === 'text/event-stream' ? eventsOf(answer.text) : []) {
      if (data === '[DONE]') continue;
      const isJob = path === '/v1/jobs/{id}/events';
      validate(schema ?? {}, isJob ? { event, id, data: JSON.parse(data) } : JSON.parse(data));
    }
    return answer.text;
  }

  const requests = {
    '/v1/chat/completions': chat(model),
    '/v1/completions': { model, prompt: 'hello' },
    '/v1/messages': { ...chat(model), max_tokens: 100 },
    '/v1/responses': { model, input: 'hello' },
  };

  it.each(Object.entries(requests))('answers, streams and errors of %s', async (path, body) => {
    const route: [string, string] = ['POST', path];
    await expectAnswer(route, 200, { body });
    await expectAnswer(route, 200, { body: { ...body, stream: true } });
    await expectAnswer(route, 404, { body: { ...body, model: 'another' } });
    await expectAnswer(route, 400, { body: {} });
    await expectAnswer(route, 401, { body, headers: { authorization: 'Bearer wrong' } });
  });

  it('answers and streams of images', async () => {
    const route: [string, string] = ['POST', '/v1/images/generations'];
    const body = { model, prompt: 'hello', partial_images: 1 };
    await expectAnswer(route, 200, { body });
    await expectAnswer(route, 200, { body: { ...body, stream: true } });
  });

  it("answers, streams and errors of Google's API", async () => {
    const route: [string, string] = ['POST', '/v1beta/models/{model}'];
    const body = { contents: [{ role: 'user', parts: [{ text: 'hello' }] }] };
    const url = '/v1beta/models/a/b';
    await expectAnswer(route, 200, { body }, `${url}:generateContent`);
    await expectAnswer(route, 200, { body }, `${url}:streamGenerateContent?alt=sse`);
    await expectAnswer(route, 200, { body }, `${url}:streamGenerateContent`);
    await expectAnswer(route, 404, { body }, '/v1beta/models/another:generateContent');
    await expectAnswer(route, 200, { body }, `${url}:countTokens`);
    const content = { parts: [{ text: 'hello' }] };
    await expectAnswer(route, 200, { body: { content } }, `${url}:embedContent`);
    const requests = [{ content }, { content }];
    await expectAnswer(route, 200, { body: { requests } }, `${url}:batchEmbedContents`);
    await expectAnswer(route, 400, { body: {} }, `${url}:embedContent`);
    await expectAnswer(['GET', '/v1beta/models'], 200);
    await expectAnswer(['GET', '/v1beta/models/{model}'], 200, {}, url);
    await expectAnswer(['GET', '/v1beta/models/{model}'], 404, {}, '/v1beta/models/another');
  });

  it('a job, its stream, its token and its end', async () => {
    const body = { body: chat(model, { stream: true }), metadata: { order: 1 } };
    const { id } = JSON.parse(await expectAnswer(['POST', '/v1/jobs'], 202, { body })) as {
      id: string;
    };
    const path = '/v1/jobs/{id}';
    const events = `${path}/events`;
    await expectAnswer(['GET', path], 200, {}, `/v1/jobs/${id}`);
    const stream = await expectAnswer(['GET', events], 200, {}, `/v1/jobs/${id}/events`);
    expect(stream).toContain('event: done');
    const job = await expectAnswer(['GET', path], 200, {}, `/v1/jobs/${id}`);
    expect(job).toContain('"result":{');
    await expectAnswer(['POST', `${path}/token`], 201, {}, `/v1/jobs/${id}/token`);
    await expectAnswer(['DELETE', path], 200, {}, `/v1/jobs/${id}`);
    await expectAnswer(['GET', path], 404, {}, '/v1/jobs/another');
    await expectAnswer(['POST', '/v1/jobs'], 400, { body: { ...body, another: 1 } });
  });

  it('models, as each vendor lists them, and health', async () => {
    for (const headers of [
      {},
      { 'anthropic-version': '2023-06-01' },
      { 'x-goog-api-key': secret },
    ]) {
      await expectAnswer(['GET', '/v1/models'], 200, { headers });
      await expectAnswer(['GET', '/v1/models/{model}'], 200, { headers }, '/v1/models/a/b');
    }
    await expectAnswer(['GET', '/healthz'], 200);
    await expectAnswer(['GET', '/readyz'], 200);
    await expectAnswer(['POST', '/v1/messages/count_tokens'], 200, { body: chat(model) });
  });

  it('the frames of a WebSocket', async () => {
    const { content = {} } = document.paths['/v1/ws']?.['get']?.responses['101'] ?? {};
    const socket = await openSocket(fleet.url, authorization);
    for (const frame of [
      { type: 'ping' },
      { type: 'create', ref: 'a', body: chat(model, { stream: true }) },
      { type: 'create', ref: 'b', body: chat('another') },
    ]) {
      validate(content['application/json']?.schema ?? {}, frame);
      socket.send(frame);
    }
    const types = () => socket.frames.map(({ type }) => type);
    await expect.poll(types).toEqual(expect.arrayContaining(['pong', 'created', 'done', 'error']));
    const ofServer = { $ref: '#/components/schemas/ServerFrame' };
    for (const frame of socket.frames) validate(ofServer, frame);
    await socket.close();
  });
});

/** A schema in which objects have no members beside those that it names, unless it says so. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== 'object' || value === null) return value;
  const copy: Record<string, unknown> = Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, closed(one)]),
  );
  const isOpen = 'additionalProperties' in copy || 'allOf' in copy || copy['type'] !== 'object';
  return isOpen || !('properties' in copy) ? copy : { ...copy, additionalProperties: false };
}

describe.skipIf(browserPath === undefined)('the page of the document in a browser', () => {
  it('is quiet and accessible on a phone in dark', async () => {
    const screen = { ...phone, theme: 'dark' as const };
    const browser = await startBrowser();
    try {
      const watched = await openPage(browser, screen, fleet.url);
      await watched.page.goto(`${fleet.url}/docs`);
      await takePicture(watched.page, 'docs-phone-dark');
      expect(await watched.findings()).toEqual([]);
      expect(watched.misdeeds()).toEqual([]);
      const width = await watched.page.evaluate('document.documentElement.scrollWidth');
      expect(width).toBe(screen.width);
    } finally {
      await browser.close();
    }
  });
});
