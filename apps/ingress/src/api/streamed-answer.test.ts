import { PassThrough } from 'node:stream';
import { encodeEntry, logStart } from '@millrace/shared/domain/entry';
import { expect, test } from 'vitest';
import { createKeepAlive } from '../delivery/sse-writer.ts';
import type { AnswerContext } from './answer.ts';
import { gemini } from './gemini/api.ts';
import { noProgress } from './progress.ts';
import { streamedAnswer } from './streamed-answer.ts';

test('an answer whose log begins anew before anything was written has its calls once', () => {
  const response = Object.assign(new PassThrough(), { writeHead: () => {} });
  const context = {
    call: {
      api: gemini,
      prepared: { meta: { includeUsage: true } },
      reply: { raw: response },
      services: {
        config: { limits: { readerBufferBytes: 1e6, readerStallMs: 1e6 } },
        keepAlive: createKeepAlive(1e6),
      },
      after: logStart,
      facts: { id: 'req_0_1', model: 'm', createdAt: 0, echo: undefined },
    },
    progress: noProgress('req_0_1'),
    head: () => ({}),
    sendError: () => {},
    resume: () => {},
  } as unknown as AnswerContext;
  const writer = streamedAnswer(context, false);
  const call = { index: 0, id: 'c', function: { name: 'f', arguments: '{}' } };
  const chunk = (delta: object, end: string | null) =>
    encodeEntry({
      kind: 'chunk',
      text: JSON.stringify({ choices: [{ index: 0, delta, finish_reason: end }] }),
    });
  const lines = [chunk({ tool_calls: [call] }, null), chunk({}, 'tool_calls')].map((text, seq) => ({
    run: 1,
    seq,
    text,
  }));
  writer.lines(lines);
  expect(writer.reset?.('cursor_ahead')).toBe('again');
  const done = { run: 1, seq: 2, text: encodeEntry({ kind: 'done', data: {} as never }) };
  writer.lines([...lines, done]);
  expect(String(response.read())).toContain('"functionCall":{"id":"c","name":"f","args":{}}');
});
