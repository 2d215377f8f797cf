import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Line } from '@millrace/shared/domain/entry';
import { expect, it, onTestFinished } from 'vitest';
import type { Principal } from '../../auth/api-keys.ts';
import { refuse } from '../../errors.ts';
import type { Client } from '../../exchange/exchange-client.ts';
import type { Services } from '../../services.ts';
import { requestIdHeader } from '../../server/request-id.ts';
import { streamStored } from './stored-stream.ts';
import type { StoredStreamOptions } from './stored-stream.ts';

const id = 'req_0_0mh000000abcdef0123456789abcdef01';
const lineOf = (text: string, seq: number): Line => ({ run: 1, seq, text });
const chunk = (content: string) =>
  `c${JSON.stringify({ id: 'c', model: 'm', choices: [{ index: 0, delta: { content } }] })}`;
const first = [chunk('Once '), chunk('upon')].map(lineOf);
const end = lineOf('d{"finishReason":"stop","attempts":1,"at":1}', 2);
/** Events of the first lines: two of the start, item, part, two deltas. */
const lastOfFirst = 5;

/** What a reader gets that has all events up to `after`, when its exchange calls these. */
async function read(after: number, run: (client: Client) => void) {
  const server = createServer((_, response) => {
    response.setHeader(requestIdHeader, id);
    const services = {
      config: { limits: { readerBufferBytes: 1e6, readerStallMs: 1e6 } },
      keepAlive: { watch: () => ({ touch() {}, stop() {} }) },
      exchanges: {
        read(_described: unknown, client: Client) {
          setImmediate(run, client);
          return { drain() {}, expel() {}, leave() {}, resume() {} };
        },
      },
      connections: { add: () => ({ remove() {} }) },
      keyUsers: { add: () => ({ remove() {} }) },
    } as unknown as Services;
    const meta = { id, model: 'm', createdAt: 1000, endpoint: '/v1/responses' };
    const described = { meta, last: '1-2' } as unknown as StoredStreamOptions['described'];
    streamStored({ described, after, response, principal: {} as Principal, services });
  });
  server.listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const response = await fetch(`http://127.0.0.1:${port}/`);
  const text = await response.text();
  return {
    status: response.status,
    text,
    events: [...text.matchAll(/^event: (.+)$/gm)].map(([, name]) => name),
  };
}

it('has the events behind the number', async () => {
  const { status, events } = await read(lastOfFirst - 1, (client) => client.lines([...first, end]));
  expect(status).toBe(200);
  expect(events[0]).toBe('response.output_text.delta');
  expect(events.at(-1)).toBe('response.completed');
});

it.each([
  ['a drain', (client: Client) => client.moved(id), 503, 'server_draining'],
  [
    'a refusal',
    (client: Client) => client.refused(refuse('api_key_revoked')),
    401,
    'api_key_revoked',
  ],
] as const)(
  '%s is an error also for a reader that has all events so far',
  async (_, stop, code, name) => {
    const silent = await read(lastOfFirst, (client) => {
      client.lines(first);
      stop(client);
    });
    expect(silent.status).toBe(code);
    expect(JSON.parse(silent.text)).toMatchObject({ error: { code: name, request_id: id } });
    const streaming = await read(lastOfFirst - 1, (client) => {
      client.lines(first);
      stop(client);
    });
    expect(streaming.status).toBe(200);
    expect(streaming.events).toEqual(['response.output_text.delta', 'error', 'response.failed']);
    expect(streaming.text).toContain(name);
  },
);

it('a number beyond the last event is an error', async () => {
  const { status, text } = await read(500, (client) => client.lines([...first, end]));
  expect(status).toBe(410);
  expect(JSON.parse(text)).toMatchObject({
    error: { code: 'cursor_ahead', param: 'starting_after', request_id: id },
  });
  const last = Number(/has the number (\d+)/.exec(text)?.[1]);
  const all = await read(last - 1, (client) => client.lines([...first, end]));
  expect(all.events).toEqual(['response.completed']);
});
