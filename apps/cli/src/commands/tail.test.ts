import { once } from 'node:events';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { runHere } from '../io.fixture.ts';

// `tail` against a server that answers each request of it in a way of its own.

type Answer = (response: ServerResponse) => void | Promise<void>;

/** Runs `tail` against the answers in turn; the last one repeats. `cursors`: what each request asked for. */
async function tail(answers: readonly Answer[], ...flags: string[]) {
  const cursors: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    const answer = answers[Math.min(cursors.length, answers.length - 1)];
    cursors.push(request.headers['last-event-id'] as string | undefined);
    void answer?.(response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { ...(await runHere(['tail', 'req_1', '--url', url, ...flags])), cursors };
}

const event = (name: string, data: unknown, id?: string): string =>
  `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;
const chunk = (content: string, id: string): string =>
  event('chunk', { choices: [{ index: 0, delta: { content } }] }, id);
const done = event('done', { finish_reason: 'stop' }, '9-0');

const begin = (response: ServerResponse): ServerResponse =>
  response.writeHead(200, { 'content-type': 'text/event-stream' });
const whole =
  (...events: string[]): Answer =>
  (response) =>
    void begin(response).end(events.join(''));
/** As a server that is away. */
const away: Answer = (response) => void response.destroy();

test('a stream that ran for longer than --patience is read on when the ingress was away for a moment', async () => {
  const { code, out, cursors } = await tail(
    [
      async (response) => {
        begin(response).write(chunk('one ', '1-0'));
        await sleep(1700);
        response.write(chunk('two ', '2-0'), () => response.destroy());
      },
      away,
      whole(chunk('three', '3-0'), done),
    ],
    '--patience',
    '1500ms',
  );
  expect({ code, out }).toEqual({ code: 0, out: 'one two three\n' });
  expect(cursors).toEqual([undefined, '2-0', '2-0']);
});

test('an ingress that stays away ends it with the reason after --patience', async () => {
  const { code, out, err, cursors } = await tail(
    [whole(chunk('one', '1-0')), away],
    '--patience',
    '250ms',
  );
  expect({ code, out }).toEqual({ code: 1, out: 'one\n' });
  expect(err).toContain('no ingress answers');
  expect(cursors.length).toBeGreaterThan(2);
});

test('answers without an entry end it after --patience, and it waits longer from one to the next', async () => {
  const { code, err, cursors } = await tail([whole()], '--patience', '500ms');
  expect(code).toBe(1);
  expect(err).toContain('the events of req_1 break off again and again');
  // At 0, 100, 300 and 700 ms.
  expect(cursors.length).toBeLessThanOrEqual(4);
});

test('a stream that is lost ends it, because no ingress can read it any further', async () => {
  const error = { code: 'stream_lost', message: 'The stream cannot be read any further.' };
  const { code, out, err, cursors } = await tail([
    whole(chunk('one', '1-0'), event('error', { error })),
    whole(done),
  ]);
  expect({ code, out }).toEqual({ code: 1, out: 'one\n' });
  expect(err).toContain('error: stream_lost The stream cannot be read any further.');
  expect(cursors).toHaveLength(1);
});

test('another error on a connection is no end', async () => {
  const error = { code: 'reader_too_slow', message: 'm' };
  const { code, out } = await tail([
    whole(chunk('one', '1-0'), event('error', { error })),
    whole(done),
  ]);
  expect({ code, out }).toEqual({ code: 0, out: 'one\n' });
});

test('a chunk without choices hides no text', async () => {
  const { code, out, cursors } = await tail([
    whole(event('chunk', { choices: null }, '1-0'), chunk('text', '2-0'), done),
  ]);
  expect({ code, out }).toEqual({ code: 0, out: 'text\n' });
  expect(cursors).toHaveLength(1);
});

test('an event that no ingress can have sent ends it with a message', async () => {
  const { code, err, cursors } = await tail([whole('event: chunk\nid: 1-0\ndata: <html>\n\n')]);
  expect(code).toBe(1);
  expect(err).toContain('millrace: an event is no JSON object');
  expect(cursors).toHaveLength(1);
});
