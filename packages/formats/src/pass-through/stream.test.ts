import { expect, test } from 'vitest';
import { finishReasons, visibility } from '../openai-chat/chunk.ts';
import type { AnswerSink, ProviderCall, Verdict } from '../port.ts';
import { formatFor } from '../provider-formats.ts';
import { audioIn, eventChunk, eventIn, wholeOf } from './events.ts';

const call: ProviderCall = {
  body: '{"prompt":"x","n":2}',
  stream: true,
  model: 'm',
  baseUrl: 'https://api.example.com/v1',
  apiKey: 'k',
  traceparent: undefined,
  prefill: false,
  identity: undefined,
};

function read(endpoint: Parameters<typeof formatFor>[1], bytes: Uint8Array | string, type: string) {
  const written: { text: string; visible: boolean }[] = [];
  const usages: unknown[] = [];
  const sink: AnswerSink = {
    plain: () => {},
    chunk: (text, chunk, visible) => {
      expect(chunk).toEqual(JSON.parse(text));
      written.push({ text, visible });
    },
    usage: (text) => usages.push(JSON.parse(text)),
  };
  const reader = formatFor({ api: 'openai' }, endpoint)?.readStream(call, sink, {
    'content-type': type,
  });
  const verdict: Verdict | undefined = reader?.push(Buffer.from(bytes)) ?? reader?.end();
  return { written, usages, verdict, finished: reader?.finished };
}

const eventStream = (...events: object[]) =>
  events.map((event) => `event: a\ndata: ${JSON.stringify(event)}\n\n`).join('');
const partial = { type: 'image_generation.partial_image', b64_json: 'YQ==' };
const completed = { type: 'image_generation.completed', b64_json: 'Yg==' };

test.each([
  '{}',
  '{"a":"\\"x_millrace_opaque\\":}}]}"}',
  '{"x_millrace_opaque":{"choices":[]}}',
  '{"audio":"aGk=","n":1.50}',
])('an event is in its chunk as it is: %s', (data) => {
  for (const head of [{}, { name: '"x_millrace_opaque":', contentType: 'audio/mpeg' }]) {
    for (const ends of [0, 1, 3]) {
      const text = eventChunk({ ...head, data }, ends);
      expect(eventIn(text)).toEqual({ ...head, data });
      expect(finishReasons(JSON.parse(text))).toHaveLength(ends);
    }
  }
  expect(visibility(JSON.parse(eventChunk({ data: '{"a":"b"}' })))).toBe('visible');
});

test.each(['', '{}', '{"choices":[]}', '{"choices":[{"delta":{"content":"hi"}}]}'])(
  'a chunk of another kind has no event: %j',
  (text) => {
    expect(eventIn(text)).toBeUndefined();
  },
);

test('images end with as many as were asked for, and with the usage', () => {
  const usage = { input_tokens: 3, output_tokens: 4 };
  const text = eventStream({ type: 'queued' }, partial, completed, { ...completed, usage });
  const { written, usages, verdict, finished } = read('/v1/images/generations', text, '');
  expect(written.map(({ visible }) => visible)).toEqual([false, true, true, true]);
  expect(written.map((one) => finishReasons(JSON.parse(one.text)).length)).toEqual([0, 0, 0, 2]);
  expect(usages).toMatchObject([{ usage: { prompt_tokens: 3, completion_tokens: 4 } }]);
  expect([finished, verdict]).toMatchObject([true, { kind: 'completed', finishReason: 'stop' }]);
});

test.each([
  [eventStream(partial, completed), 'upstream_truncated'],
  [`${eventStream(partial, completed)}data: [DONE]\n\n`, 'upstream_truncated'],
  [eventStream(partial, { type: 'error', error: { message: 'no' } }), expect.any(String)],
  [`${eventStream(partial)}data: {"b64_json":\n\n`, 'upstream_invalid_response'],
  ['', 'upstream_invalid_response'],
])('a stream that is not whole is a fault: %.60j', (text, code) => {
  const { verdict } = read('/v1/images/generations', text, 'text/event-stream');
  expect(verdict).toMatchObject({ kind: 'fault', fault: { code } });
});

test('audio becomes events of a bounded size with its type, and all of its bytes', () => {
  const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 7) % 256));
  const { written, verdict } = read('/v1/audio/speech', bytes, 'audio/mpeg; rate=1');
  expect(verdict).toEqual({ kind: 'completed', finishReason: 'stop' });
  const events = written.flatMap(({ text }) => eventIn(text) ?? []);
  expect(Math.max(...written.map(({ text }) => text.length))).toBeLessThan(67_000);
  expect(events.map(({ contentType }) => contentType)).toEqual([
    'audio/mpeg',
    ...Array.from({ length: events.length - 1 }, () => undefined),
  ]);
  expect(Buffer.concat(events.map(audioIn)).equals(bytes)).toBe(true);
  expect(wholeOf(events)).toBe(
    JSON.stringify({ data: `data:audio/mpeg;base64,${bytes.toString('base64')}` }),
  );
  expect(read('/v1/audio/speech', '', 'audio/mpeg').verdict).toMatchObject({ kind: 'fault' });
});

test('events make the answer that there would be without a stream', () => {
  const of = (...events: object[]) => {
    const whole = wholeOf(events.map((event) => ({ data: JSON.stringify(event) })));
    return whole === undefined ? undefined : (JSON.parse(whole) as object);
  };
  expect(of(partial, { ...completed, created_at: 1, usage: { a: 1 } }, completed)).toEqual({
    created: 1,
    data: [{ b64_json: 'Yg==' }, { b64_json: 'Yg==' }],
    usage: { a: 1 },
  });
  expect(of({ type: 'transcript.text.done', text: 'hi', usage: {} })).toEqual({
    text: 'hi',
    usage: {},
  });
  expect(of({ type: 'other' })).toBeUndefined();
});
