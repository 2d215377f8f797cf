import { maxRecordBytes } from '@millrace/shared/domain/debug-record';
import type { DebugRecord } from '@millrace/shared/domain/debug-record';
import { frameRecord, readRecord } from '@millrace/shared/store/debug-log/framing';
import type { Dispatcher } from 'undici';
import { expect, test } from 'vitest';
import type { Upstream } from '../upstream/call.ts';
import { createDebugLog, maxHeldBytes, maxSentBytes, pieceOverheadBytes } from './call-recorder.ts';
import type { DebugLog } from './call-recorder.ts';

const apiKey = 'sk-the-key-of-the-operator';
const controller = {} as Dispatcher.DispatchController;

/** A provider that answers with these pieces; `got` is what its client's handler got of them. */
function callWith(log: DebugLog, pieces: readonly string[], body = '{}', key = apiKey) {
  const got: Buffer[] = [];
  const upstream: Upstream = {
    dispatch(_options, handler) {
      handler.onRequestStart?.(controller, {});
      handler.onResponseStart?.(
        controller,
        200,
        { 'set-cookie': 'session=1', server: `s ${btoa(key)}` },
        'OK',
      );
      for (const piece of pieces)
        handler.onResponseData?.(controller, Buffer.from(piece, 'latin1'));
      handler.onResponseEnd?.(controller, {});
    },
  };
  const call = {
    request: 'req_1',
    key: 'team-a',
    model: 'fast',
    target: { provider: 'p', model: 'm' },
    secrets: [key],
  };
  const recorder = log.record(call, upstream);
  const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' };
  recorder?.upstream.dispatch(
    { method: 'POST', path: '/v1/chat?api-version=1&sig=abc', headers, body: Buffer.from(body) },
    { onResponseData: (_controller, bytes) => void got.push(bytes) },
  );
  return { recorder, got };
}

function openLog() {
  const shipped: DebugRecord[] = [];
  const counts = { dropped: 0, pieces: 0 };
  const log = createDebugLog({
    worker: 'worker-1',
    shipper: {
      async ship(make) {
        const raw = make();
        counts.pieces = raw.head.answer?.pieces.length ?? 0;
        shipped.push(readRecord(frameRecord(raw)));
        return true;
      },
      dropped: () => void (counts.dropped += 1),
    },
  });
  return { log, shipped, counts };
}

test('a record has what was sent and what came, in its pieces', () => {
  const { log, shipped } = openLog();
  const { recorder } = callWith(log, ['data: 1\n\n', 'data: 2\n\n'], '{"messages":[]}');
  recorder?.ended({ kind: 'completed', finishReason: 'stop' });
  expect(shipped).toMatchObject([
    {
      request: 'req_1',
      key: 'team-a',
      model: 'fast',
      provider: 'p',
      target_model: 'm',
      worker: 'worker-1',
      outcome: 'completed',
      sent: { path: '/v1/chat?api-version=1&sig=(not shown)', body: '{"messages":[]}' },
      answer: { status: 200, events: [{ text: 'data: 1\n\n' }, { text: 'data: 2\n\n' }] },
      omitted_bytes: 0,
    },
  ]);
});

test('no key is in a record, in whichever piece of it a provider repeats one, and readers get their bytes unchanged', () => {
  const { log, shipped } = openLog();
  const pieces = [`echo ${apiKey.slice(0, 9)}`, `${apiKey.slice(9)} end`, btoa(`key ${apiKey}.`)];
  const { recorder, got } = callWith(log, pieces, `{"x":"${apiKey}"}`);
  recorder?.ended({ kind: 'aborted' });
  const [{ sent, answer } = {} as DebugRecord] = shipped;
  expect(JSON.stringify(shipped)).not.toContain(apiKey.slice(3, 9));
  expect(sent.headers).toEqual({
    authorization: '(not shown)',
    'content-type': 'application/json',
  });
  expect(answer?.headers['set-cookie']).toBe('(not shown)');
  const shown = answer?.events.map(({ text }) => text).join('') ?? '';
  expect(shown).toContain(`echo ${'*'.repeat(apiKey.length)} end`);
  for (const text of [shown, answer?.headers['server']]) {
    expect(text).not.toContain(btoa(`key ${apiKey}`).slice(8, 24));
    expect(text).not.toContain(btoa(apiKey).slice(0, 24));
  }
  // After the record was made: its bytes are its own.
  expect(got.map((bytes) => bytes.toString('latin1'))).toEqual(pieces);
});

test('a placeholder for a key is an ordinary word', () => {
  const { log, shipped } = openLog();
  const { recorder } = callWith(log, ['none'], '{"tool_choice":"none"}', 'none');
  recorder?.ended({ kind: 'aborted' });
  expect(shipped[0]?.sent.body).toBe('{"tool_choice":"none"}');
});

test('a large request leaves half of the record to its answer', () => {
  const { log, shipped } = openLog();
  const { recorder } = callWith(log, ['data: 1\n\n'], 'x'.repeat(maxRecordBytes));
  recorder?.ended({ kind: 'aborted' });
  expect(shipped[0]).toMatchObject({
    answer: { events: [{ text: 'data: 1\n\n' }] },
    omitted_bytes: maxRecordBytes - maxSentBytes,
  });
});

test('a character that came in two pieces is whole', () => {
  const { log, shipped } = openLog();
  const { recorder } = callWith(log, ['\xe2\x82', '\xac']);
  recorder?.ended({ kind: 'aborted' });
  expect(shipped[0]?.answer?.events.map(({ text }) => text).join('')).toBe('€');
});

test('of a record that is larger than its bound the rest is left out, and all of it delivered', () => {
  const { log, shipped } = openLog();
  const pieces = Array.from({ length: 20 }, () => 'x'.repeat(64 * 1024));
  const { recorder, got } = callWith(log, pieces);
  expect(log.held).toBe(maxRecordBytes);
  recorder?.ended({ kind: 'aborted' });
  const overhead = 8 * pieceOverheadBytes;
  expect(shipped[0]?.omitted_bytes).toBe(20 * 64 * 1024 + 2 + overhead - maxRecordBytes);
  expect(got).toHaveLength(20);
  expect(log.held).toBe(0);
});

test('an answer of many small pieces is held within the bound, each with its overhead', () => {
  const { log, counts } = openLog();
  const few = callWith(log, ['x', '', 'y']).recorder;
  expect(log.held).toBe(2 + 2 * (1 + pieceOverheadBytes));
  few?.ended({ kind: 'aborted' });
  const most = Math.floor(maxRecordBytes / (1 + pieceOverheadBytes));
  const many = callWith(log, Array<string>(most + 1000).fill('x')).recorder;
  expect(log.held).toBeLessThanOrEqual(maxRecordBytes);
  many?.ended({ kind: 'aborted' });
  expect(counts.pieces).toBeLessThanOrEqual(most);
});

test('a process that holds too much records no further record, and counts it', () => {
  const { log, counts } = openLog();
  const piece = 'x'.repeat(maxRecordBytes);
  const open = Array.from(
    { length: maxHeldBytes / maxRecordBytes },
    () => callWith(log, [piece]).recorder,
  );
  expect(log.held).toBe(maxHeldBytes);
  expect(callWith(log, [piece]).recorder).toBeUndefined();
  expect(counts.dropped).toBe(1);
  for (const recorder of open) recorder?.ended({ kind: 'aborted' });
  expect(callWith(log, [piece]).recorder).toBeDefined();
});
