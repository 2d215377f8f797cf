import { assembleCompletion } from '@millrace/formats/openai-chat/completion';
import fc from 'fast-check';
import { ChatCompletionStream } from 'openai/lib/ChatCompletionStream';
import { expect, it } from 'vitest';

/*
 * A client that reads the stream with OpenAI's SDK and one that asks for the job's result get the
 * same answer: the SDK puts the chunks together for itself, and is compared with ours.
 */

const text = fc.string({ unit: 'grapheme', maxLength: 5 });
const texts = fc.array(text, { minLength: 1, maxLength: 5 });
const token = fc.record({ token: text, logprob: fc.constant(-0.5), bytes: fc.constant(null) });

type Choice = { delta: object; logprobs?: object | null; finish_reason?: string };

const contentDeltas = fc
  .tuple(fc.constantFrom('content', 'refusal'), texts, fc.option(fc.array(token)))
  .map(([field, parts, tokens]): Choice[] => [
    { delta: { role: 'assistant', content: field === 'content' ? '' : null, refusal: null } },
    ...parts.map((part) => ({
      delta: { [field]: part },
      logprobs: tokens && { content: tokens, refusal: null },
    })),
    { delta: {}, finish_reason: 'stop' },
  ]);

const toolDeltas = fc
  .array(fc.tuple(fc.constantFrom('function', 'custom'), texts), { minLength: 1, maxLength: 3 })
  .map((calls): Choice[] => [
    { delta: { role: 'assistant', content: null } },
    ...calls.flatMap(([type, parts], index) => {
      const field = type === 'function' ? 'arguments' : 'input';
      const first = {
        index,
        id: `call_${index}`,
        type,
        [type]: { name: `f${index}`, [field]: '' },
      };
      const more = parts.map((part) => ({ index, [type]: { [field]: part } }));
      return [first, ...more].map((call) => ({ delta: { tool_calls: [call] } }));
    }),
    { delta: {}, finish_reason: 'tool_calls' },
  ]);

const stream = fc
  .record({
    choices: fc.array(fc.oneof(contentDeltas, toolDeltas), { minLength: 1, maxLength: 3 }),
    usage: fc.option(fc.constant({ prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 })),
  })
  .map(({ choices, usage }) => {
    const head = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 17, model: 'm' };
    const rounds = Math.max(...choices.map((deltas) => deltas.length));
    const chunks: object[] = [];
    for (let round = 0; round < rounds; round++) {
      for (const [index, deltas] of choices.entries()) {
        const choice = deltas[round];
        if (!choice) continue;
        chunks.push({
          ...head,
          choices: [{ index, logprobs: null, finish_reason: null, ...choice }],
        });
      }
    }
    if (usage) chunks.push({ ...head, choices: [], usage });
    return chunks;
  });

async function bySdk(chunks: object[]): Promise<unknown> {
  const lines = chunks.map((chunk) => `${JSON.stringify(chunk)}\n`).join('');
  const body = new Response(lines).body;
  if (!body) throw new Error('no body');
  return ChatCompletionStream.fromReadableStream(body).finalChatCompletion();
}

it("a stream's result is what OpenAI's SDK makes of the stream", async () => {
  await fc.assert(
    fc.asyncProperty(stream, async (chunks) => {
      const ours = assembleCompletion(chunks);
      // The SDK adds what it parsed (`parsed`), which is no part of the API.
      expect(withoutParsed(await bySdk(chunks))).toEqual(ours);
    }),
    { numRuns: 200 },
  );
});

function withoutParsed(completion: unknown): unknown {
  return JSON.parse(
    JSON.stringify(completion, (key, value: unknown) =>
      key === 'parsed' || key === 'parsed_arguments' ? undefined : value,
    ),
  );
}
