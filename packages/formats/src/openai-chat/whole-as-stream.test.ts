import { assembleCompletion } from './completion.ts';
import { expect, it } from 'vitest';
import { read } from './stream.fixture.ts';
import { wholeAsStream } from './whole-as-stream.ts';

const identity = { id: 'chatcmpl-1', object: 'chat.completion', created: 17, model: 'm' };

it('a whole answer as a stream says the same', () => {
  const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };
  const call = { id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } };
  const message = (more: object) => ({ role: 'assistant', content: 'A', refusal: null, ...more });
  const answer = {
    ...identity,
    choices: [
      { index: 0, message: message({ reasoning: 'hm' }), logprobs: null, finish_reason: 'stop' },
      {
        index: 1,
        message: message({ tool_calls: [call, { ...call, id: 'b' }] }),
        logprobs: null,
        finish_reason: 'tool_calls',
      },
    ],
    usage,
    x_vendor: { a: 1 },
  };
  const { chunks, usages, verdict } = read(wholeAsStream(JSON.stringify(answer)), {
    body: '{"n":2}',
  });
  expect(verdict).toEqual({ kind: 'completed', finishReason: 'stop', usage });
  expect(assembleCompletion([...chunks, ...usages])).toEqual(answer);
  expect(chunks.every(({ object }) => object === 'chat.completion.chunk')).toBe(true);
  expect(chunks.some((chunk) => 'usage' in chunk)).toBe(false);
});

it('a whole answer as a stream has an end, also where the provider gives no reason, and exact numbers', () => {
  const body =
    '{"id":"c","created":1,"model":"m","choices":[{"message":{"content":"A"},"x":9007199254740993}]}';
  const { texts, content, verdict } = read(wholeAsStream(body));
  expect(verdict).toMatchObject({ kind: 'completed', finishReason: 'stop' });
  expect(content).toBe('A');
  expect(texts[0]).toContain('"x":9007199254740993');
});
