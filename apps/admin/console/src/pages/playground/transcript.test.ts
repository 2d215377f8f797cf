import { expect, test } from 'vitest';
import { eventsOf } from './events.ts';
import type { Fault } from './events.ts';
import { addEvent, maxTextLength, startTranscript, tokensPerSecond } from './transcript.ts';
import type { Transcript } from './transcript.ts';

type Event = [name: string, data: unknown, at: number];

const attempt = (run: number, number: number, provider: string, mode: string): unknown => ({
  run,
  attempt: number,
  provider,
  model: 'm',
  mode,
});
const chunk = (content: string): unknown => ({ choices: [{ index: 0, delta: { content } }] });

const read = (events: readonly Event[]): Transcript =>
  events.reduce(
    (transcript, [name, data, at]) => addEvent(transcript, name, data, at),
    startTranscript(0),
  );

const killed: readonly Event[] = [
  ['queued', { position: 2, estimated_wait_ms: 40 }, 5],
  ['attempt', attempt(1, 1, 'simulated', 'start'), 10],
  ['chunk', { choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] }, 90],
  ['chunk', chunk('This'), 100],
  ['chunk', chunk(' is'), 130],
  ['attempt', attempt(2, 1, 'simulated-backup', 'continue'), 200],
  ['chunk', chunk(' an'), 234],
  ['chunk', chunk(' answer.'), 264],
  ['done', { finish_reason: 'stop', usage: { completion_tokens: 4 } }, 270],
];

test('a takeover is a seam at its place in the text, with the pause that the reader saw', () => {
  const transcript = read(killed);
  expect(transcript).toMatchObject({
    status: 'completed',
    finishReason: 'stop',
    outputTokens: 4,
    tokens: 4,
    firstAt: 100,
    lastAt: 264,
    queue: undefined,
    pieces: [
      { kind: 'answer', text: 'This is' },
      { kind: 'seam', index: 0 },
      { kind: 'answer', text: ' an answer.' },
    ],
    seams: [{ token: 2, cause: 'worker', gapMs: 104 }],
  });
  expect(tokensPerSecond(transcript)).toBeCloseTo(18.3, 1);
});

test.each<[string, Fault[], string]>([
  [
    'that the operator killed',
    [{ action: 'kill-worker', at: 140, token: 2, subject: 'worker-a' }],
    'worker-a died at token 2; another worker continued 104 ms later at simulated-backup.',
  ],
  [
    'that died by itself',
    [],
    'Its worker was lost at token 2; another worker continued 104 ms later at simulated-backup.',
  ],
])('a takeover after a worker %s is one sentence', (_, faults, sentence) => {
  expect(eventsOf(read(killed), faults)).toEqual([{ key: 'seam 0', text: sentence, tone: 'seam' }]);
});

test('attempts that come to nothing at a seam are one seam, which names the last of them', () => {
  const transcript = read([
    ['attempt', attempt(1, 1, 'a', 'start'), 0],
    ['chunk', chunk('One'), 100],
    ['attempt', attempt(1, 2, 'b', 'continue'), 2100],
    ['attempt', attempt(1, 3, 'c', 'replay'), 2200],
    ['chunk', chunk(' two'), 2400],
  ]);
  expect(transcript.seams).toHaveLength(1);
  expect(transcript.attempts).toHaveLength(3);
  const stalled: Fault = { action: 'stall', at: 110, token: 1, subject: 'a' };
  expect(eventsOf(transcript, [stalled])[0]?.text).toBe(
    'a fell silent at token 1; c continued 2,300 ms later, with a new answer whose beginning the worker held back.',
  );
});

test('a seam without text behind it has no pause yet', () => {
  const transcript = read(killed.slice(0, 6));
  expect(transcript.seams[0]?.gapMs).toBeUndefined();
  expect(eventsOf(transcript, [])[0]?.text).toMatch(/another worker is about to continue at/);
});

test('another attempt before the first text is none of the reader’s seams', () => {
  const transcript = read([
    ['attempt', attempt(1, 1, 'a', 'start'), 0],
    ['attempt', attempt(1, 2, 'b', 'start'), 50],
    ['chunk', chunk('One'), 100],
  ]);
  expect(transcript.seams).toEqual([]);
  expect(transcript.pieces).toEqual([{ kind: 'answer', text: 'One' }]);
});

test('a reset discards the text and its seams', () => {
  const transcript = read([
    ...killed.slice(0, 7),
    ['reset', { reason: 'restart' }, 300],
    ['attempt', attempt(2, 2, 'simulated', 'restart'), 301],
    ['chunk', chunk('Anew'), 320],
  ]);
  expect(transcript).toMatchObject({
    tokens: 1,
    resets: 1,
    seams: [],
    pieces: [{ kind: 'answer', text: 'Anew' }],
  });
  expect(eventsOf(transcript, [])).toHaveLength(1);
});

test('a connection that the page lost is an event, and no seam', () => {
  const cut: Fault = { action: 'connection', at: 110, token: 1, subject: undefined };
  const events = eventsOf(read(killed), [cut]);
  expect(events.map(({ tone }) => tone)).toEqual(['quiet', 'seam']);
  expect(events[1]?.text).toMatch(/^Its worker was lost/);
});

test('reasoning and tool calls are kept apart from the answer', () => {
  const call = (fields: unknown) => ({
    choices: [{ index: 0, delta: { tool_calls: [{ index: 0, function: fields }] } }],
  });
  const transcript = read([
    ['chunk', { choices: [{ index: 0, delta: { reasoning_content: 'Hm.' } }] }, 1],
    ['chunk', chunk('Yes'), 2],
    ['chunk', call({ name: 'look', arguments: '' }), 3],
    ['chunk', call({ arguments: '{"at":' }), 4],
    ['chunk', call({ arguments: '1}' }), 5],
  ]);
  expect(transcript.pieces).toEqual([
    { kind: 'reasoning', text: 'Hm.' },
    { kind: 'answer', text: 'Yes' },
    { kind: 'tool', text: '\nlook {"at":1}' },
  ]);
});

test('an answer past the bound is counted and not kept', () => {
  const big = 'x'.repeat(maxTextLength - 1);
  const transcript = read([
    ['chunk', chunk(big), 1],
    ['chunk', chunk('abc'), 2],
    ['chunk', chunk('def'), 3],
  ]);
  expect(transcript.length).toBe(maxTextLength);
  expect(transcript.tokens).toBe(3);
});

test.each<[string, unknown]>([
  ['chunk', null],
  ['chunk', []],
  ['chunk', { choices: 'none' }],
  ['chunk', { choices: [null] }],
  ['attempt', 'x'],
  ['queued', 7],
  ['a-new-event', { a: 1 }],
])('an event %s with data that is not expected (%j) breaks nothing', (name, data) => {
  const transcript = read([[name, data, 1]]);
  expect(transcript.tokens).toBe(0);
  expect(transcript.pieces).toEqual([]);
});

test('a failed request has its error', () => {
  const transcript = read([
    ['failed', { status: 'failed', error: { code: 'deadline_exceeded', message: 'Too late.' } }, 9],
  ]);
  expect(transcript).toMatchObject({
    status: 'failed',
    endedAt: 9,
    error: { code: 'deadline_exceeded', message: 'Too late.' },
  });
});
