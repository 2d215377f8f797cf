import { keyspace } from '@millrace/shared/store/keys';
import { expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import { chunksOf, eventsOf } from '../kit/events.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';

const tokens = 120;
const paceMs = 10;
/** Milliseconds of the beginning of an answer, in which nothing is gathered. */
const promptMs = 250;

type Entry = { atMs: number; lines: string[] };

/** One stream of 1.2 s, as its client got it and as the entries of its log have it. */
async function streamWith(coalesce: string) {
  await using fleet = await startFleet({
    config: { delivery: { coalesce } },
    models: { paced: `healthy:tokens=${tokens},pace=${paceMs}` },
  });
  const response = await fetch(`${fleet.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'paced',
      stream: true,
      messages: [{ role: 'user', content: 'hi' }],
    }),
  });
  const id = response.headers.get('x-request-id') ?? '';
  const pieces: Entry[] = [];
  const decoder = new TextDecoder();
  for await (const bytes of response.body ?? []) {
    pieces.push({ atMs: performance.now(), lines: [decoder.decode(bytes, { stream: true })] });
  }
  const shown = pieces.flatMap(({ lines }) => lines).join('');
  const log = await fleet.redis.connect().xrange(keyspace().log(id), '-', '+');
  const entries = log
    .map(([, fields]) => (fields[1] ?? '').split('\n').filter((line) => line.startsWith('c')))
    .filter((lines) => lines.length > 0);
  const text = chunksOf(eventsOf(shown))
    .map(({ choices }) => choices[0]?.delta.content ?? '')
    .join('');
  return { shown, text, entries, pieces };
}

test('a window puts the chunks of a stream into fewer entries and writes, and the text is the same', async () => {
  const [apart, together] = [await streamWith('0'), await streamWith('25ms')];
  for (const { text, shown } of [apart, together]) {
    expect(text).toBe(expectedText({ tokens }));
    expect(shown).toContain('data: [DONE]');
  }
  // Only what piled up: a chunk here and there on a busy machine.
  expect(apart.entries.length).toBeGreaterThan(tokens * 0.5);
  const gathered = (tokens * paceMs - promptMs) / 25;
  expect(together.entries.length).toBeLessThan(apart.entries.length * 0.75);
  expect(together.entries.length).toBeGreaterThan(gathered * 0.5);
  expect(together.pieces.length).toBeLessThan(apart.pieces.length * 0.75);
});

test('the beginning of an answer does not wait for a window', async () => {
  const { entries } = await streamWith('60ms');
  // 60 ms are six chunks; a quarter of a second of them comes one by one.
  const first = entries.slice(0, 20);
  expect(first.filter(({ length }) => length === 1).length).toBeGreaterThan(10);
  expect(entries.at(-2)?.length).toBeGreaterThan(2);
});
