import fc from 'fast-check';
import { createParser } from 'eventsource-parser';
import { expect, it } from 'vitest';
import { createEventStreamParser, type UpstreamEvent } from '@millrace/formats/event-stream/parser';

/*
 * Ours is told the body in packets; the two it is compared with get it whole: the library's own
 * parser, and a reading of the standard that is as plain as can be and shares no code with it.
 */

interface Reading {
  events: UpstreamEvent[];
  comments: string[];
}

function ours(packets: Uint8Array[], end: boolean): Reading {
  const events: UpstreamEvent[] = [];
  const comments: string[] = [];
  const parser = createEventStreamParser({
    onEvent: ({ event, data, id }) => events.push({ event, data, id }),
    onComment: (comment) => comments.push(comment),
    maxEventBytes: 1 << 20,
  });
  for (const packet of packets) parser.push(packet);
  if (end) parser.end();
  return { events, comments };
}

function library(body: Uint8Array): Reading {
  const events: UpstreamEvent[] = [];
  const comments: string[] = [];
  const parser = createParser({
    onEvent: ({ event, data, id }) => events.push({ event, data, id }),
    onComment: (comment) => comments.push(comment),
  });
  parser.feed(new TextDecoder('utf-8', { ignoreBOM: true }).decode(body));
  return { events, comments };
}

/** `ended`: as if the body were followed by the newlines that it lacks. */
function standard(body: Uint8Array, ended: boolean): Reading {
  const events: UpstreamEvent[] = [];
  const comments: string[] = [];
  const lines = new TextDecoder().decode(body).split(/\r\n|\r|\n/);
  const open = lines.pop() ?? '';
  if (ended) lines.push(open, '');
  let event: UpstreamEvent = { event: undefined, data: '', id: undefined };
  let data: string[] = [];
  for (const line of lines) {
    if (line === '') {
      if (data.length > 0) events.push({ ...event, data: data.join('\n') });
      event = { event: undefined, data: '', id: undefined };
      data = [];
      continue;
    }
    const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (line.startsWith(':')) comments.push(value);
    else if (field === 'data') data.push(value);
    else if (field === 'event') event.event = value || undefined;
    else if (field === 'id' && !value.includes('\0')) event.id = value;
  }
  return { events, comments };
}

const text = fc
  .oneof(
    { weight: 4, arbitrary: fc.string({ unit: 'grapheme', maxLength: 12 }) },
    fc.string({ unit: 'binary', maxLength: 8 }),
    fc.constantFrom(
      '',
      ' ',
      '  x',
      '{"a":"é🙂"}',
      '[DONE]',
      ':',
      '\uFEFF',
      '\0',
      '\u2028',
      'data: x',
    ),
  )
  .map((value) => value.replaceAll(/[\r\n]/g, ''));

const line = fc.oneof(
  { weight: 6, arbitrary: text.map((value) => `data: ${value}`) },
  { weight: 2, arbitrary: text.map((value) => `data:${value}`) },
  { weight: 5, arbitrary: fc.constant('') },
  text.map((value) => `: ${value}`),
  text.map((value) => `event: ${value}`),
  text.map((value) => `id:${value}`),
  text.map((value) => `${value}: x`),
  fc.constantFrom('data', 'event', 'id', 'retry: 10', 'retry: x', 'dat', 'datab: x', 'dataa'),
  text,
);

const body = fc
  .record({
    bom: fc.boolean(),
    lines: fc.array(fc.tuple(line, fc.constantFrom('\n', '\n', '\n', '\r\n', '\r')), {
      maxLength: 24,
    }),
    open: fc.oneof(fc.constant(''), line),
  })
  .map(({ bom, lines, open }) => (bom ? '\uFEFF' : '') + lines.flat().join('') + open)
  // Read as Latin-1 such a start is a byte order mark too, to the library; nobody sends one.
  .filter((value) => !value.startsWith('ï»¿'))
  .map((value) => Buffer.from(value));

const brokenBody = fc
  .array(
    fc.oneof(
      fc
        .constantFrom('data: ', 'data:', '\n', '\n\n', '\r', '\r\n', '🙂', 'é')
        .map((value) => [...Buffer.from(value)]),
      fc.constantFrom(0x80, 0xbf, 0xc2, 0xe2, 0x82, 0xed, 0xa0, 0xf0, 0x9f, 0xff).map((b) => [b]),
    ),
    { maxLength: 30 },
  )
  .map((parts) => Buffer.from(parts.flat()));

const cuts = fc.array(
  fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 1, max: 6 }) }, fc.nat(80)),
  {
    minLength: 1,
    maxLength: 20,
  },
);

function packetsOf(bytes: Uint8Array, sizes: number[]): Uint8Array[] {
  const packets: Uint8Array[] = [];
  for (let at = 0, n = 0; at < bytes.length; n++) {
    const size = sizes[n % sizes.length] || (n % 7 === 6 ? 1 : 0);
    packets.push(bytes.subarray(at, at + size));
    at += size;
  }
  return packets;
}

it('a body cut anywhere gives the events and comments that it gives whole', () => {
  fc.assert(
    fc.property(body, cuts, (bytes, sizes) => {
      const read = ours(packetsOf(bytes, sizes), false);
      expect(read.events).toEqual(library(bytes).events);
      expect(read.events).toEqual(standard(bytes, false).events);
    }),
    { numRuns: 3000 },
  );
});

it('an ended body gives what the standard gives for it with its missing newlines', () => {
  fc.assert(
    fc.property(body, cuts, (bytes, sizes) => {
      expect(ours(packetsOf(bytes, sizes), true)).toEqual(standard(bytes, true));
    }),
    { numRuns: 3000 },
  );
});

it('broken UTF-8 is replaced as the standard decoder does, wherever it is cut', () => {
  fc.assert(
    fc.property(brokenBody, cuts, (bytes, sizes) => {
      expect(ours(packetsOf(bytes, sizes), true)).toEqual(standard(bytes, true));
    }),
    { numRuns: 3000 },
  );
});
