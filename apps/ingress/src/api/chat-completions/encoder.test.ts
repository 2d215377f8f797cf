import { chunkLine, usageLine } from '@millrace/shared/domain/entry';
import { expect, test } from 'vitest';
import { encodeStream } from './encoder.ts';

const chunk = { run: 2, seq: 7, text: chunkLine('{"choices":[]}') };
const usage = { run: 2, seq: 8, text: usageLine('{"usage":{}}') };

test('a stream has no entry ids unless its client asked for them', () => {
  const plain = encodeStream({ includeUsage: true, withIds: false });
  expect(plain.chunk(chunk)).toBe('data: {"choices":[]}\n\n');
  const named = encodeStream({ includeUsage: true, withIds: true });
  expect(named.chunk(chunk)).toBe('id: 2-7\ndata: {"choices":[]}\n\n');
});

test('the usage is for clients that asked for it', () => {
  const withUsage = encodeStream({ includeUsage: true, withIds: false });
  expect(withUsage.chunk(usage)).toBe('data: {"usage":{}}\n\n');
  const without = encodeStream({ includeUsage: false, withIds: false });
  expect(without.chunk(usage)).toBe('');
  expect(without.chunk(chunk)).not.toBe('');
});

test('a complete stream ends with [DONE], and one that was cut short with an error', () => {
  const { end, error } = encodeStream({ includeUsage: false, withIds: false });
  expect(end()).toBe('data: [DONE]\n\n');
  const cause = { message: 'cut', type: 'server_error', param: null, code: 'stream_lost' };
  expect(error(cause)).toBe(`data: ${JSON.stringify({ error: cause })}\n\n`);
});
