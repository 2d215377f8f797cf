import { expect, it } from 'vitest';
import { createSniffer, isEventStream } from './answer-kind.ts';

const labels = [
  'text/event-stream',
  'Text/Event-Stream;Charset=UTF-8',
  'text/plain',
  'application/octet-stream',
  'application/json',
  '',
  undefined,
];

/** The kind of an answer that comes in packets of `size` bytes. */
function kindOf(text: string, label: string | undefined, size: number): string {
  const sniffer = createSniffer({ 'content-type': label });
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) {
    const known = sniffer.push(bytes.subarray(at, at + size));
    if (!known) continue;
    expect(known.bytes.toString()).toBe(bytes.subarray(0, at + size).toString());
    return known.kind;
  }
  const { kind, bytes: all } = sniffer.end();
  expect(all.toString()).toBe(text);
  return kind;
}

it.each([
  ['data: {"id":1}\n\n', 'stream'],
  ['data:{"id":1}\n\n', 'stream'],
  ['\uFEFFdata: {}\n\n', 'stream'],
  ['\r\n\r\nevent: message_start\ndata: {}\n\n', 'stream'],
  ['id: 1\ndata: x\n\n', 'stream'],
  ['retry: 100\n\n', 'stream'],
  [': OPENROUTER PROCESSING\n\n', 'stream'],
  ['{"id":"x","choices":[]}', 'whole'],
  ['\uFEFF \n{"id":"x"}', 'whole'],
  ['[{"error":{}}]', 'whole'],
  ['<!doctype html>', 'whole'],
])('the first bytes tell the kind of an answer, whatever its label says: %j', (text, kind) => {
  for (const label of labels) {
    for (const size of [1, 2, 1000]) expect(kindOf(text, label, size)).toBe(kind);
  }
});

it.each(['', 'da', '\n\n', 'x', 'dataset', 'Internal Server Error', ' '.repeat(5000)])(
  'the label decides where the bytes do not tell: %j',
  (text) => {
    for (const size of [1, 1000]) {
      expect(kindOf(text, 'text/event-stream; charset=utf-8', size)).toBe('stream');
      expect(kindOf(text, 'text/plain', size)).toBe('whole');
    }
  },
);

it('a media type is compared without regard to case, and is not a part of another one', () => {
  expect(labels.map((type) => isEventStream({ 'content-type': type }))).toEqual([
    true,
    true,
    false,
    false,
    false,
    false,
    false,
  ]);
  expect(isEventStream({ 'content-type': 'text/event-streams' })).toBe(false);
});
