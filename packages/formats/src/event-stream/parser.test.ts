import { describe, expect, it } from 'vitest';
import { createEventStreamParser, EventTooLargeError, type UpstreamEvent } from './parser.ts';

const LIMIT = 1 << 20;

function collect(maxEventBytes = LIMIT) {
  const events: UpstreamEvent[] = [];
  const comments: string[] = [];
  const parser = createEventStreamParser({
    onEvent: (event) => events.push(event),
    onComment: (comment) => comments.push(comment),
    maxEventBytes,
  });
  return { parser, events, comments, data: () => events.map((event) => event.data) };
}

function eventsOf(body: string | Uint8Array, packetSize = Infinity): UpstreamEvent[] {
  const { parser, events } = collect();
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  for (let at = 0; at < bytes.length; at += packetSize) {
    parser.push(bytes.subarray(at, at + packetSize));
  }
  parser.end();
  return events;
}

const dataOf = (body: string | Uint8Array, packetSize?: number) =>
  eventsOf(body, packetSize).map((event) => event.data);

describe('event stream', () => {
  it('gives every event at once, without waiting for the packet after it', () => {
    const { parser, data } = collect();
    parser.push(Buffer.from('data: {"a":1}\n\n'));
    expect(data()).toEqual(['{"a":1}']);
    parser.push(Buffer.from('data: {"a":2}\n\ndata: [DONE]\n\n'));
    expect(data()).toEqual(['{"a":1}', '{"a":2}', '[DONE]']);
  });

  it.each([1, 2, 3, 5, 7, 64])(
    'reads code points and CRLF cut into packets of %i bytes',
    (size) => {
      const body =
        '\uFEFFdata: žluťoučký 🙂\r\n\r\n: ping\r\ndata:日本語\r\n\r\ndata: [DONE]\r\n\r\n';
      expect(dataOf(body, size)).toEqual(['žluťoučký 🙂', '日本語', '[DONE]']);
    },
  );

  it('takes LF, CR, CRLF and a mixture of them', () => {
    expect(dataOf('data: a\n\ndata: b\r\rdata: c\r\n\r\ndata: d\r\n\ndata: e\n\r\n')).toEqual([
      'a',
      'b',
      'c',
      'd',
      'e',
    ]);
  });

  it('does not take a CR and the LF of the next packet for two line ends', () => {
    const { parser, data } = collect();
    parser.push(Buffer.from('data: a\r'));
    parser.push(Buffer.from('\ndata: b\r'));
    expect(data()).toEqual([]);
    parser.push(Buffer.from('\n\r'));
    expect(data()).toEqual(['a\nb']);
    parser.push(Buffer.from('\ndata: c\n\n'));
    expect(data()).toEqual(['a\nb', 'c']);
  });

  it('joins several data lines, and takes away one space after the colon at most', () => {
    expect(dataOf('data:a\ndata: b\ndata:  c\ndata\ndata:\n\n')).toEqual(['a\nb\n c\n\n']);
  });

  it('names an event and its id only where the event itself does', () => {
    expect(
      eventsOf('event: output\nid: 17:0\ndata: x\n\ndata: y\n\nid: 18\n\ndata: z\n\n'),
    ).toEqual([
      { event: 'output', id: '17:0', data: 'x' },
      { event: undefined, id: undefined, data: 'y' },
      { event: undefined, id: undefined, data: 'z' },
    ]);
  });

  it('delivers an event with empty data, and none without a data line', () => {
    expect(dataOf('data:\n\nevent: ping\n\n\n\ndata: \n\n')).toEqual(['', '']);
  });

  it('ignores fields it does not know, and retry', () => {
    expect(dataOf('retry: soon\nfoo: bar\nDATA: no\ndatax: no\nx\ndata: yes\n\n')).toEqual(['yes']);
  });

  it('passes comments on to a consumer that wants them', () => {
    const { parser, comments, data } = collect();
    parser.push(Buffer.from(': keep-alive\n\n:\n:x\ndata: 1\n: in mid-event\n\n'));
    expect(comments).toEqual(['keep-alive', '', 'x', 'in mid-event']);
    expect(data()).toEqual(['1']);
  });

  it('strips one byte order mark, at the start only', () => {
    expect(dataOf('\uFEFFdata: a\n\ndata: \uFEFFb\n\n')).toEqual(['a', '\uFEFFb']);
  });

  it('keeps U+2028, U+0085, vertical tab and form feed inside a line', () => {
    expect(dataOf('data: a\u2028b\u0085c\vd\fe\n\n')).toEqual(['a\u2028b\u0085c\vd\fe']);
  });

  it('takes a plain Uint8Array that is a window into a larger buffer, and may be overwritten', () => {
    const memory = new Uint8Array(64);
    const { parser, data } = collect();
    for (const part of [Buffer.from('data: 🙂').subarray(0, 8), Buffer.from('🙂').subarray(2)]) {
      memory.set(part, 10);
      parser.push(memory.subarray(10, 10 + part.length));
      memory.fill(0x21);
    }
    parser.push(Buffer.from('\n\n'));
    expect(data()).toEqual(['🙂']);
  });
});

describe('the end of an event stream', () => {
  it.each(['', '\n', '\r', '\r\n', '\n\n', '\r\n\r\n'])(
    'delivers the last event before %j',
    (end) => {
      expect(dataOf(`data: 1\n\ndata: [DONE]${end}`)).toEqual(['1', '[DONE]']);
    },
  );

  it('delivers the half of an event that a cut body left', () => {
    expect(dataOf('data: 1\n\ndata: {"choi')).toEqual(['1', '{"choi']);
  });

  it('shows a code point cut off by the end as U+FFFD', () => {
    expect(dataOf(Buffer.from('data: 🙂').subarray(0, 8))).toEqual(['\uFFFD']);
  });

  it('delivers nothing where nothing waits, and nothing twice', () => {
    const { parser, events } = collect();
    parser.push(Buffer.from('data: 1\n\nevent: x\n: comment\nda'));
    parser.end();
    parser.end();
    expect(events).toHaveLength(1);
    expect(() => parser.push(Buffer.from('data: 2\n\n'))).toThrow('after end');
  });
});

describe('the bound on one event', () => {
  const tooLarge = expect.objectContaining({
    code: 'upstream_response_too_large',
    maxEventBytes: 100,
  });

  it.each([Infinity, 1, 7])('is exact, with packets of %s bytes', (size) => {
    for (const fits of ['x'.repeat(100), '🙂'.repeat(25), `${'é'.repeat(49)}xx`]) {
      const { parser, data } = collect(100);
      pushAll(parser, `data: ${fits}\nid: 1\nevent: chunk\n\n`, size);
      expect(data()).toEqual([fits]);
    }
    for (const tooMuch of ['x'.repeat(101), '🙂'.repeat(26), `${'é'.repeat(50)}x`]) {
      const { parser, data } = collect(100);
      expect(() => pushAll(parser, `data: 1\n\ndata: ${tooMuch}\n\n`, size)).toThrow(tooLarge);
      expect(data()).toEqual(['1']);
    }
  });

  it.each(['data: ', 'event: ', ': '])('holds for a %j line that never ends', (field) => {
    const { parser } = collect(100);
    parser.push(Buffer.from(field));
    let held = 0;
    expect(() => {
      for (; held < 1 << 20; held += 16) parser.push(Buffer.alloc(16, 'x'));
    }).toThrow(tooLarge);
    expect(held).toBeLessThan(4096);
  });

  it('holds for data lines that never end their event', () => {
    const { parser } = collect(100);
    let held = 0;
    expect(() => {
      for (; held < 1 << 20; held += 8) parser.push(Buffer.from('data: x\n'));
    }).toThrow(tooLarge);
    expect(held).toBeLessThan(16_384);
  });

  it('does not count small events together, however many', () => {
    const { parser, events } = collect(100);
    for (let n = 0; n < 100; n++) parser.push(Buffer.from('data: 0123456789\n\n'.repeat(100)));
    expect(events).toHaveLength(10_000);
  });

  it('counts the values of a large event, too, and those of small ones never', () => {
    const { parser, events } = collect(16 * 1024 * 1024);
    const list = (length: number) =>
      Buffer.from(`data: [${'[],'.repeat(length)}"${'x'.repeat(1e6)}"]\n\n`);
    parser.push(list(400_000));
    expect(events).toHaveLength(1);
    expect(() => parser.push(list(600_000))).toThrow(EventTooLargeError);
  });

  it('ends the parser: the same error again, and no event after it', () => {
    const { parser, events } = collect(100);
    const large = Buffer.from(`data: ${'x'.repeat(101)}\n\ndata: after\n\n`);
    expect(() => parser.push(large)).toThrow(EventTooLargeError);
    expect(() => parser.push(Buffer.from('data: later\n\n'))).toThrow(tooLarge);
    expect(() => parser.end()).toThrow(tooLarge);
    expect(events).toEqual([]);
  });
});

function pushAll(parser: { push(bytes: Uint8Array): void }, body: string, size: number): void {
  const bytes = Buffer.from(body);
  for (let at = 0; at < bytes.length; at += size) parser.push(bytes.subarray(at, at + size));
}

it('passes lines that are no fields on to a consumer that wants them, whole and in their place', () => {
  const body =
    'data: 1\n\nout of order\n{"a":1}\nerror page\nta: {"b":2}\nfoo: bar\nx\ndatax: y\n\ndata: 2\n\n: c {\n';
  for (const size of [1, 2, 5, 1000]) {
    const told: string[] = [];
    const parser = createEventStreamParser({
      onEvent: ({ data }) => told.push(data),
      onStray: (line) => told.push(`stray ${line}`),
      maxEventBytes: 1000,
    });
    const bytes = Buffer.from(body);
    for (let at = 0; at < bytes.length; at += size) parser.push(bytes.subarray(at, at + size));
    parser.end();
    expect(told).toEqual([
      '1',
      'stray out of order',
      'stray {"a":1}',
      'stray error page',
      'stray ta: {"b":2}',
      '2',
    ]);
  }
});

it('refuses a line beyond every bound, also where it is no field', () => {
  const parser = createEventStreamParser({ onEvent() {}, onStray() {}, maxEventBytes: 1000 });
  expect(() => {
    for (let i = 0; i < 10_000; i++) parser.push(Buffer.from('x y'));
  }).toThrow(EventTooLargeError);
});
