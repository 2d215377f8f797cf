/**
 * Parsers of a provider's event stream, side by side: ns per event, the median of several rounds
 * measured in turn (A B C A B C). Run: node bench/micro/event-stream.ts
 */
import { deepStrictEqual } from 'node:assert/strict';
import { createParser } from 'eventsource-parser';
import { createEventStreamParser } from '@millrace/formats/event-stream/parser';
import { createParserByHand } from './event-stream-by-hand.ts';

const EVENTS = 64;
const EVENTS_PER_ROUND = 200_000;
const ROUNDS = 9;

type Push = (packet: Buffer) => void;
type Listener = (data: string) => void;

const parsers: Record<string, (listen: Listener) => Push> = {
  'eventsource-parser + TextDecoder': (listen) => {
    const parser = createParser({ onEvent: (event) => listen(event.data) });
    const decoder = new TextDecoder();
    return (packet) => parser.feed(decoder.decode(packet, { stream: true }));
  },
  'ours (eventsource-parser + StringDecoder)': (listen) => {
    const parser = createEventStreamParser({
      onEvent: (event) => listen(event.data),
      maxEventBytes: 1 << 20,
    });
    return (packet) => parser.push(packet);
  },
  'by hand': (listen) => {
    const parser = createParserByHand((event) => listen(event.data));
    return (packet) => parser.push(packet);
  },
};

function eventText(content: string): string {
  const delta = JSON.stringify({ content });
  return (
    'data: {"id":"chatcmpl-Bx0aQ1","object":"chat.completion.chunk","created":1790000000,' +
    '"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_0123456789",' +
    `"choices":[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":null}]}\n\n`
  );
}

const ascii = Array.from({ length: EVENTS }, (_, n) => Buffer.from(eventText(` word${n}`)));
const emoji = Array.from({ length: EVENTS }, (_, n) => Buffer.from(eventText(` слово 🙂${n}`)));
const crlf = ascii.map((packet) => Buffer.from(packet.toString().replaceAll('\n', '\r\n')));

const cases: Record<string, Buffer[]> = {
  '1 event per packet': ascii,
  '64 events per packet': [Buffer.concat(ascii)],
  '1 per packet, not ASCII': emoji,
  '1 per packet, CRLF': crlf,
  'packets cut in mid-event': cut(Buffer.concat(ascii), 250),
};

function cut(bytes: Buffer, size: number): Buffer[] {
  const packets: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) packets.push(bytes.subarray(at, at + size));
  return packets;
}

function dataOf(make: (listen: Listener) => Push, packets: Buffer[]): string[] {
  const seen: string[] = [];
  packets.forEach(make((data) => seen.push(data)));
  return seen;
}

/** Nanoseconds per event of one round. */
function measure(make: (listen: Listener) => Push, packets: Buffer[]): number {
  let characters = 0;
  const push = make((data) => {
    characters += data.length;
  });
  const repeats = Math.ceil(EVENTS_PER_ROUND / EVENTS);
  const from = process.hrtime.bigint();
  for (let n = 0; n < repeats; n++) for (const packet of packets) push(packet);
  const took = Number(process.hrtime.bigint() - from);
  if (characters === 0) throw new Error('nothing was parsed');
  return took / (repeats * EVENTS);
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

console.log(`node ${process.version}, ${ascii[0]?.length} bytes per event, ns per event, median`);
const table: Record<string, Record<string, string>> = {};
for (const [title, packets] of Object.entries(cases)) {
  const names = Object.keys(parsers);
  const figures = new Map(names.map((name) => [name, [] as number[]]));
  const reference = dataOf(Object.values(parsers)[0]!, packets);
  for (const make of Object.values(parsers)) deepStrictEqual(dataOf(make, packets), reference);
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, make] of Object.entries(parsers)) {
      const figure = measure(make, packets);
      if (round > 0) figures.get(name)?.push(figure);
    }
  }
  table[title] = Object.fromEntries(
    names.map((name) => [name, median(figures.get(name) ?? []).toFixed(0)]),
  );
}
console.table(table);
