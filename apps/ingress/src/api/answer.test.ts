import Fastify from 'fastify';
import type { FastifyInstance } from 'fastify';
import { encodeEntry } from '@millrace/shared/domain/entry';
import { newRequestId } from '@millrace/shared/domain/request';
import { createMemoryLog } from '@millrace/shared/store/stream-log/memory-log';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createConnections } from '../server/connections.ts';
import type { Charge } from '../admission/quota.ts';
import type { Prepared, Submission } from '../exchange/prepare.ts';
import { createKeepAlive } from '../delivery/sse-writer.ts';
import { createRelay } from '../delivery/relay.ts';
import type { Services } from '../services.ts';
import { createExchanges, handOverMs } from '../exchange/exchange.ts';
import type { Creation } from '../exchange/submit.ts';
import { trackAnswers } from '../server/open-answers.ts';
import { boundBodies } from '../server/limits.ts';
import { clientApiRoutes } from './client-api-routes.ts';
import { errorFormOf } from './error-form.ts';
import { jobRoutes } from './jobs/routes.ts';

// What happens to a request between two commands to Redis, and when its ingress fails; the rest is in test/fault.

const connections = createConnections((error) => {
  throw error;
});
const { log } = createMemoryLog();
const relay = createRelay({ log, onUnread() {}, onError() {} });
const limits = { requestBodiesBytes: 1e6, requestValues: 1e6, readerBufferBytes: 1e6 };
const keepAlive = createKeepAlive(60_000);

let app: FastifyInstance;
let url: string;
/** Redis' answers, as the test gives them. */
let admitted: PromiseWithResolvers<Charge>;
let creating: PromiseWithResolvers<Creation>;
let refunds: number;
let prepared: Prepared | undefined;
let sent: string[];
let left: string[];
let onOpened: () => void;

beforeEach(async () => {
  admitted = Promise.withResolvers();
  creating = Promise.withResolvers();
  refunds = 0;
  prepared = undefined;
  sent = [];
  left = [];
  onOpened = () => {};
  const services = {
    loadPrices: () => undefined,
    config: { limits, models: {} },
    connections,
    relay,
    keepAlive,
    leaving: () => false,
    metrics: { opened: () => onOpened(), closed() {} },
    refused() {},
    keyRing: { renew: (principal: unknown) => ({ kind: 'renewed', principal }) },
    keyUsers: { add: () => ({ remove() {} }) },
    exchanges: createExchanges({
      config: { limits, models: {} } as unknown as Services['config'],
      prepare: (submission) => (prepared = prepare(submission)),
      keyLimits: { charge: () => admitted.promise, ended() {}, readerLeft() {} },
      relay,
      log,
      inbox: 'in-1',
      submitter: {
        async create({ meta }) {
          sent.push(meta.id);
          return creating.promise;
        },
        withdraw() {},
        async leave(id) {
          left.push(id);
          return 'ended';
        },
        detach: async () => 'detached',
      },
      onHandedOver() {},
      onError() {},
    }),
  } as unknown as Services;
  app = Fastify();
  app.setErrorHandler((thrown: { status?: number }, _request, reply) =>
    reply.code(thrown.status ?? 500).send(thrown),
  );
  trackAnswers(app, services, errorFormOf);
  boundBodies(app, { held: 0 }, limits as unknown as Services['config']['limits']);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) =>
    done(null, body),
  );
  clientApiRoutes(app, services);
  jobRoutes(app, services);
  url = await app.listen({ port: 0, host: '127.0.0.1' });
});

afterEach(async () => {
  vi.useRealTimers();
  await app.close();
});

function prepare(submission: Submission): Prepared {
  const meta = { id: newRequestId(0, Date.now()), ...submission };
  const inbox = submission.read ? 'in-1' : undefined;
  return { kind: 'prepared', meta, body: '', inbox, once: undefined } as unknown as Prepared;
}

const post = (path: string, asked: object, headers: Record<string, string> = {}) =>
  fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(asked),
  });

const charge = (): Charge => ({
  kind: 'charged',
  account: undefined,
  headers: {},
  refund() {
    refunds += 1;
  },
});

const body = { model: 'm', messages: [{ role: 'user', content: 'hi' }], stream: true };
const routes = [
  ['a completion', '/v1/chat/completions', body],
  ['a job', '/v1/jobs', { body }],
] as const;

test.each(routes)(
  'a drain while the key is charged refuses %s, which is not made and costs nothing',
  async (_what, path, asked) => {
    const answer = post(path, asked);
    await vi.waitFor(() => expect(prepared).toBeDefined());
    await connections.cutAll();
    // Its answer is on the way.
    admitted.resolve(charge());
    expect((await answer).status).toBe(503);
    await vi.waitFor(() => expect(refunds).toBe(1));
    expect(sent).toEqual([]);
  },
);

test('a job that reaches the queue after a drain has taken it back is ended, and its client makes it again', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const answer = post('/v1/jobs', { body });
  admitted.resolve(charge());
  await vi.waitFor(() => expect(sent).toHaveLength(1));
  // Another one whose cut takes longer.
  const other = Promise.withResolvers<void>();
  const open = connections.add(() => other.promise);
  const cut = connections.cutAll();
  await vi.advanceTimersByTimeAsync(handOverMs);
  expect(left).toEqual(sent);
  creating.resolve({ kind: 'created', isWaiting: false });
  expect((await answer).status).toBe(503);
  other.resolve();
  open.remove();
  await cut;
});

test('a reader with a cursor whose stream was made anew gets a 410 and none of its lines', async () => {
  const headers = { 'idempotency-key': 'k', 'last-event-id': '1-5' };
  const answer = post('/v1/chat/completions', body, headers);
  admitted.resolve(charge());
  await vi.waitFor(() => expect(sent).toHaveLength(1));
  const [id = ''] = sent;
  const text = encodeEntry({ kind: 'chunk', text: '{"choices":[]}' });
  relay.onFrame({ id, prev: { run: 0, seq: 0 }, last: { run: 1, seq: 1 }, texts: [text] });
  creating.resolve({ kind: 'created', isWaiting: false });
  const response = await answer;
  expect(response.status).toBe(410);
  expect(await response.json()).toMatchObject({ error: { code: 'cursor_ahead' } });
  expect(left).toEqual([id]);
});

test('a call whose ingress fails before its request is sent gets an error, and its key everything back', async () => {
  onOpened = () => {
    throw new Error('a fault of this process');
  };
  const answer = post('/v1/chat/completions', body);
  admitted.resolve(charge());
  const response = await answer;
  expect(response.status).toBe(500);
  expect(await response.json()).toMatchObject({ error: { code: 'internal_error' } });
  expect([sent, refunds]).toEqual([[], 1]);
});

test('a call whose last batch cannot be encoded gets an error', async () => {
  const answer = post('/v1/chat/completions', { ...body, stream: false });
  admitted.resolve(charge());
  await vi.waitFor(() => expect(sent).toHaveLength(1));
  const [id = ''] = sent;
  creating.resolve({ kind: 'created', isWaiting: false });
  const texts = [
    // No value of a header.
    encodeEntry({ kind: 'result', data: { contentType: 'text/plain\n', body: 'hi' } }),
    encodeEntry({ kind: 'done', data: {} as never }),
  ];
  relay.onFrame({ id, prev: { run: 0, seq: 0 }, last: { run: 1, seq: 2 }, texts });
  const response = await answer;
  expect(response.status).toBe(500);
  expect(await response.json()).toMatchObject({ error: { code: 'stream_lost' } });
});

test('a drain does not wait for a request that runs on although its client has left', async () => {
  const client = new AbortController();
  const answer = fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-millrace-on-disconnect': 'keep' },
    body: JSON.stringify(body),
    signal: client.signal,
  }).catch(() => 'left');
  admitted.resolve(charge());
  await vi.waitFor(() => expect(sent).toHaveLength(1));
  // Redis does not answer for the whole test.
  const cut = connections.cutAll();
  client.abort();
  expect(await answer).toBe('left');
  await cut;
  expect(left).toEqual([]);
});
