import { keyspace } from '@millrace/shared/store/keys';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { chunksOf, eventsOf } from '../kit/events.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';

const tokens = 120;
const paceMs = 10;
/** Milliseconds of the beginning of an answer, in which nothing is gathered. */
const promptMs = 250;

type Entry = { atMs: number; lines: string[] };

let fleet: Fleet;
beforeAll(async () => {
  const models = { paced: `healthy:tokens=${tokens},pace=${paceMs}` };
  fleet = await startFleet({ workers: 0, models });
});
afterAll(() => fleet?.close());

/** A worker that gathers for so long, instead of the one before. */
async function workWith(coalesce: string) {
  await fleet.killWorkers();
  await fleet.reconfigure({ delivery: { coalesce } });
  await fleet.addWorker();
}

type Told = Awaited<ReturnType<typeof stream>>;

/** The first stream that is as it is to be: on a busy machine chunks pile up also where nothing is gathered. */
async function streamUntil(holds: (told: Told) => boolean): Promise<Told> {
  let told: Told | undefined;
  await expect
    .poll(async () => {
      told = await stream();
      return holds(told);
    })
    .toBe(true);
  return told as Told;
}

/** One stream of 1.2 s, as its client got it and as the entries of its log have it. */
async function stream() {
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
  await workWith('0');
  // Three quarters of them must be more than what the windows leave.
  const apart = await streamUntil(
    ({ entries, pieces }) => Math.min(entries.length, pieces.length) > tokens * 0.8,
  );
  await workWith('25ms');
  const gathered = (tokens * paceMs - promptMs) / 25;
  const together = await streamUntil(({ entries }) => entries.length > gathered * 0.5);
  for (const { text, shown } of [apart, together]) {
    expect(text).toBe(expectedText({ tokens }));
    expect(shown).toContain('data: [DONE]');
  }
  expect(together.entries.length).toBeLessThan(apart.entries.length * 0.75);
  expect(together.pieces.length).toBeLessThan(apart.pieces.length * 0.75);
});

test('the beginning of an answer does not wait for a window', async () => {
  await workWith('60ms');
  // 60 ms are six chunks; a quarter of a second of them comes one by one.
  const { entries } = await streamUntil(
    (told) => told.entries.slice(0, 20).filter(({ length }) => length === 1).length > 10,
  );
  expect(entries.at(-2)?.length).toBeGreaterThan(2);
});
