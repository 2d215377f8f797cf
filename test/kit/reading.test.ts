import { expect, test } from 'vitest';
import type { Ended } from './exchange.ts';
import { readAnswer } from './reading.ts';
import { rescued } from '../../crashtest/scenario.ts';

// The judge must not be kinder than a client: everything here once looked like a whole answer to one.

const text = (content: string, more: object = {}) =>
  JSON.stringify({ id: 'a', model: 'm', choices: [{ index: 0, delta: { content }, ...more }] });
const finish = (content = '') => text(content, { finish_reason: 'stop' });
const error = JSON.stringify({
  error: { message: 'it broke', code: 'upstream_failed_mid_stream' },
});
const DONE = '[DONE]';

function stream(data: readonly string[], how: Ended['how'] = 'complete'): Ended {
  const events = data.map((one, i) => ({ at: i, event: 'message', id: undefined, data: one }));
  const headers = { 'content-type': 'text/event-stream' };
  const times = { startedAt: 0, endedAt: data.length };
  return { how, status: 200, headers, text: '', events, ...times };
}

function whole(status: number, type: string, body: string): Ended {
  const headers = { 'content-type': type };
  const times = { startedAt: 0, endedAt: 1 };
  return { how: 'complete', status, headers, text: body, events: [], ...times };
}

const verdictOf = (ended: Ended) => rescued(readAnswer(ended), 'one two').verdict;

test.each<[string, Ended]>([
  ['the whole answer, once', stream([text('one'), text(' two'), finish(), DONE])],
  ['text beside the finish_reason', stream([text('one'), finish(' two'), DONE])],
])('%s is a pass', (_, ended) => {
  expect(verdictOf(ended)).toBe('pass');
});

test.each<[string, Ended]>([
  ['an error before anything', whole(503, 'application/json', error)],
  ['an error after a true beginning', stream([text('one'), error])],
])('%s is safe', (_, ended) => {
  expect(verdictOf(ended)).toBe('safe');
});

test.each<[string, Ended]>([
  ['a truncated answer that ends properly', stream([text('one'), finish(), DONE])],
  ['an end without finish_reason', stream([text('one'), text(' two'), DONE])],
  ['an end without [DONE]', stream([text('one'), finish(' two')])],
  ['a clean end in mid-answer', stream([text('one')])],
  ['a broken connection in mid-answer', stream([text('one')], 'broken')],
  ['no end at all', stream([text('one'), finish(' two'), DONE], 'hang')],
  ['a doubled text', stream([text('one'), text('one'), finish(' two'), DONE])],
  ['a garbled text', stream([text('one'), finish(' tow'), DONE])],
  ['two ends', stream([text('one'), finish(' two'), finish(), DONE])],
  ['[DONE] after an error', stream([text('one'), error, DONE])],
  ['two errors', stream([text('one'), error, error])],
  ['text after the error', stream([error, text('one')])],
  ['an error after a garbled text', stream([text('two'), error])],
  ['an event that is no JSON', stream([text('one'), '{"id":', finish(' two'), DONE])],
  ['an error with status 200', whole(200, 'application/json', error)],
  ['a page of HTML', whole(502, 'text/html', '<h1>Bad gateway</h1>')],
])('%s is a fail', (_, ended) => {
  expect(verdictOf(ended)).toBe('fail');
});

test('a second role, id or usage is odd, though the text is right', () => {
  const role = (id: string) =>
    JSON.stringify({ id, choices: [{ delta: { role: 'assistant', content: '' } }] });
  const ended = stream([role('a'), text('one'), role('b'), finish(' two'), DONE]);
  expect(readAnswer(ended).oddities).toEqual(['2 role deltas', '2 ids']);
  const fault = 'an event with a name';
  expect(readAnswer({ ...stream([finish('one'), DONE]), fault }).oddities).toEqual([fault]);
});
