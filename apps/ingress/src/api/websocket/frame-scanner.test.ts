import { expect, test } from 'vitest';
import { createFrameScanner } from './frame-scanner.ts';

const opcodes = { continuation: 0, text: 1, close: 8, ping: 9, pong: 10 };

/** As a client sends it. */
function frame(opcode: keyof typeof opcodes, length: number, fin = true): Buffer {
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(length));
  const [short, more] =
    length < 126 ? [length, 8] : length < 65_536 ? ([126, 6] as const) : ([127, 0] as const);
  const head = Buffer.from([(fin ? 0x80 : 0) | opcodes[opcode], 0x80 | short]);
  return Buffer.concat([head, size.subarray(more), Buffer.alloc(4), Buffer.alloc(length)]);
}

const lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];

test.each(lengths)('a message of %i bytes is followed, whole and in single bytes', (length) => {
  const bytes = frame('text', length);
  const whole = createFrameScanner();
  expect(whole.scan(bytes)).toBe(1);
  expect(whole).toMatchObject({ held: 0, announced: 0, isUnfinished: false });

  const dripping = createFrameScanner();
  const odd: number[] = [];
  let frames = 0;
  for (let at = 1; at < bytes.length; at += 1) {
    frames += dripping.scan(bytes.subarray(at - 1, at));
    const held = Math.max(0, at - (bytes.length - length));
    const isRight = dripping.isUnfinished && dripping.held === held;
    if (!isRight || (frames === 1 && dripping.announced !== length)) odd.push(at);
  }
  frames += dripping.scan(bytes.subarray(-1));
  expect(odd).toEqual([]);
  expect(frames).toBe(1);
  expect(dripping).toMatchObject({ held: 0, announced: 0, isUnfinished: false });
});

test('fragments are one message until the last of them, also with pings between them', () => {
  const scanner = createFrameScanner();
  const parts = [
    frame('text', 100, false),
    frame('ping', 5),
    frame('continuation', 200, false),
    frame('continuation', 0, false),
    frame('pong', 0),
  ];
  expect(scanner.scan(Buffer.concat(parts))).toBe(5);
  expect(scanner).toMatchObject({ held: 300, announced: 300, isUnfinished: true });
  scanner.scan(frame('continuation', 50, true).subarray(0, 20));
  expect(scanner).toMatchObject({ held: 314, announced: 350 });
  scanner.scan(frame('continuation', 50, true).subarray(20));
  expect(scanner).toMatchObject({ held: 0, announced: 0, isUnfinished: false });
});

test('the announced length of a message is known before its bytes arrive', () => {
  const scanner = createFrameScanner();
  scanner.scan(frame('text', 5_000_000).subarray(0, 14));
  expect(scanner).toMatchObject({ held: 0, announced: 5_000_000, isUnfinished: true });
});

test('all frames of one read are counted', () => {
  const scanner = createFrameScanner();
  const some = Array.from({ length: 500 }, (_, i) => frame(i % 2 ? 'text' : 'pong', i % 120));
  expect(scanner.scan(Buffer.concat(some))).toBe(500);
  expect(scanner.isUnfinished).toBe(false);
});

test('messages that end in mid-read are counted, and so are the bytes between them', () => {
  const scanner = createFrameScanner();
  const one = frame('text', 300);
  const next = Buffer.concat([one.subarray(100), one.subarray(0, 100)]);
  scanner.scan(one.subarray(0, 100));
  expect(scanner).toMatchObject({ completed: 0, isUnfinished: true });
  for (let round = 1; round <= 5; round += 1) {
    scanner.scan(next);
    expect(scanner).toMatchObject({ completed: round, isUnfinished: true });
  }
  scanner.scan(one.subarray(100));
  expect(scanner).toMatchObject({ completed: 6, isUnfinished: false });
  scanner.scan(Buffer.concat([frame('ping', 5), frame('text', 0)]));
  expect(scanner).toMatchObject({ completed: 8, isUnfinished: false });
});

test('a message is counted with its last fragment, and no ping before that is', () => {
  const scanner = createFrameScanner();
  const begun = [frame('text', 10, false), frame('ping', 5), frame('continuation', 0, false)];
  scanner.scan(Buffer.concat([...begun, frame('pong', 0)]));
  expect(scanner).toMatchObject({ completed: 0, isUnfinished: true });
  scanner.scan(frame('continuation', 10));
  expect(scanner).toMatchObject({ completed: 1, isUnfinished: false });
});
