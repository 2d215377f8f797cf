import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { ask, listen, startPool } from './pool.fixture.ts';
import { createUnaskedContinue } from './unasked-continue.ts';

/** What becomes of a response that comes in packets of `size` bytes. */
function passed(text: string, size: number): string {
  const unasked = createUnaskedContinue();
  unasked.expect();
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) unasked.pass(bytes.subarray(at, at + size));
  return bytes.toString();
}

const final = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

describe('an unasked 100 Continue', () => {
  test.each([1, 5, 1000])('becomes a 102, in packets of %i bytes', (size) => {
    const once = 'HTTP/1.1 100 Continue\r\n\r\n';
    const named = 'HTTP/1.1 100 Continue\r\ndate: x\r\n\r\n';
    expect(passed(once + final, size)).toBe(`HTTP/1.1 102 Continue\r\n\r\n${final}`);
    expect(passed(once + named + final, size)).toBe(
      `HTTP/1.1 102 Continue\r\n\r\nHTTP/1.1 102 Continue\r\ndate: x\r\n\r\n${final}`,
    );
  });

  test.each([
    final,
    'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
    `HTTP/1.1 200 OK\r\n\r\n\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n`,
    'HTTP/1.1 10',
  ])('is nothing else: %j', (text) => {
    expect(passed(text, 3)).toBe(text);
  });

  test('does not end the connection, and the answer behind it is read, each time', async () => {
    await using at = await listen(
      createServer((socket) => {
        socket.on('data', () => {
          socket.write('HTTP/1.1 100 Con');
          setImmediate(() => socket.write(`tinue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n${final}`));
        });
      }),
    );
    using pool = startPool({ ...at, connections: 1 });
    for (let i = 0; i < 3; i++) expect(await ask(pool).outcome).toBe('200 ok');
    expect(at.accepted).toHaveLength(1);
  });
});
