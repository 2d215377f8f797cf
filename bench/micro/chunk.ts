/**
 * Measures the checks that are made for every chunk: ns per chunk, the median of several rounds measured in
 * turn. Run: node bench/micro/chunk.ts
 */
import {
  errorOf,
  finishReasons,
  isUsageOnly,
  usageOf,
  visibility,
} from '@millrace/formats/openai-chat/chunk';

const CHUNKS_PER_ROUND = 1_000_000;
const ROUNDS = 9;

const text = (delta: object, rest: object = {}) =>
  JSON.stringify({
    id: 'chatcmpl-Bx0aQ1',
    object: 'chat.completion.chunk',
    created: 1790000000,
    model: 'gpt-4o-2024-08-06',
    service_tier: 'default',
    choices: [{ index: 0, delta, logprobs: null, finish_reason: null, ...rest }],
    usage: null,
  });

const call = { index: 0, function: { arguments: '{"city' } };
const details = [{ type: 'reasoning.text', text: 'hm', index: 0, format: null }];

const streams: Record<string, unknown[]> = {
  content: Array.from({ length: 64 }, (_, n) => JSON.parse(text({ content: ` word${n}` }))),
  'a mixture': [
    text({ role: 'assistant', content: '', refusal: null }),
    text({ content: '', reasoning: 'hm', reasoning_details: details }),
    text({ content: null, reasoning_content: 'hm' }),
    ...Array.from({ length: 20 }, (_, n) => text({ content: ` word${n}` })),
    ...Array.from({ length: 8 }, () => text({ tool_calls: [call] })),
    text({}, { finish_reason: 'stop' }),
  ].map((event) => JSON.parse(event)),
};

const questions: Record<string, (chunk: unknown) => number> = {
  visibility: (chunk) => (visibility(chunk) === 'visible' ? 1 : 0),
  finishReasons: (chunk) => finishReasons(chunk).length,
  usageOf: (chunk) => (usageOf(chunk) ? 1 : 0),
  errorOf: (chunk) => (errorOf(chunk) ? 1 : 0),
  'all five': (chunk) =>
    (visibility(chunk) === 'visible' ? 1 : 0) +
    finishReasons(chunk).length +
    (usageOf(chunk) ? 1 : 0) +
    (errorOf(chunk) ? 1 : 0) +
    (isUsageOnly(chunk) ? 1 : 0),
};

let kept = 0;

function measure(ask: (chunk: unknown) => number, chunks: unknown[]): number {
  const repeats = Math.ceil(CHUNKS_PER_ROUND / chunks.length);
  const from = process.hrtime.bigint();
  for (let n = 0; n < repeats; n++) for (const chunk of chunks) kept += ask(chunk);
  return Number(process.hrtime.bigint() - from) / (repeats * chunks.length);
}

const table: Record<string, Record<string, string>> = {};
for (const [title, chunks] of Object.entries(streams)) {
  const figures = new Map(Object.keys(questions).map((name) => [name, [] as number[]]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, ask] of Object.entries(questions)) {
      const figure = measure(ask, chunks);
      if (round > 0) figures.get(name)?.push(figure);
    }
  }
  table[title] = Object.fromEntries(
    [...figures].map(([name, values]) => [
      name,
      (values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN).toFixed(1),
    ]),
  );
}
console.log(`node ${process.version}, ns per chunk, median; ${kept > 0 ? 'counted' : 'nothing'}`);
console.table(table);
