import { describe, expect, it } from 'vitest';
import { chunk, end, events, identity, read, said } from './stream.fixture.ts';

const fault = { kind: 'fault', fault: { code: 'upstream_invalid_response' } };
const cut = (text: string) => text.slice(0, -4);
const choices = (value: unknown) => JSON.stringify({ ...identity, choices: value });
const delta = (value: unknown) => choices([{ index: 0, delta: value, finish_reason: null }]);

describe('an event that may have carried a part of the answer and cannot be read is a fault', () => {
  it.each([
    ['JSON that is cut', cut(said('B'))],
    ['JSON that is cut before its content', said('B').slice(0, said('B').indexOf('B') - 1)],
    ['JSON that is cut before its choices', '{"id":"chatcmpl-1","created":17,"model":"m"'],
    ['plain text', 'Internal Server Error'],
    ['a page', '<html><body>502 Bad Gateway</body></html>'],
    ['a text of JSON', '"B"'],
    ['a number', '5'],
    ['a list', `[${said('B')}]`],
    ['two events on one line', `${said('B')}data: ${said('C')}`],
    ['two events, one cut', `${cut(said('B'))}${said('C')}`],
    ['an event glued to one without choices', `{"choices":[],"x":"data: ${said('B')}`],
    ['two texts in one event', `${said('B')}\ndata: ${said('C')}`],
    ['choices that are no list', choices({ index: 0, delta: { content: 'B' } })],
    ['choices that are a text', choices('B')],
    ['a choice that is a text', choices(['B'])],
    ['a delta that is a text', delta('B')],
    ['a delta that is a list', delta(['B'])],
    ['content that is a number', delta({ content: 5 })],
    ['content that is an object', delta({ content: { text: 'B' } })],
    ['tool calls that are no list', delta({ tool_calls: { index: 0 } })],
    ['a tool call that is a text', delta({ tool_calls: ['B'] })],
    ['a function that is a text', delta({ tool_calls: [{ index: 0, function: 'B' }] })],
    ['a message whose content is a number', choices([{ index: 0, message: { content: 5 } }])],
  ])('%s', (_what, damaged) => {
    const { content, verdict, verdictAtPush } = read(events(said('A'), damaged, said('C')) + end);
    expect(verdict).toMatchObject(fault);
    // The fault comes at once, and the answer ends behind the last character that was read.
    expect(verdictAtPush).toBe(true);
    expect(content).toBe('A');
  });

  it.each([
    ['plain text', 'Internal Server Error'],
    ['a page', '<html>\n<body>502 Bad Gateway</body>\n</html>'],
    ['JSON that is cut', cut(said('B'))],
    ['an event that lost its beginning', `ta: ${said('B')}`],
    ['an event that lost more of it', `a":${said('B')}`],
  ])('also without a field, wherever the packets end: %s', (_what, line) => {
    const body = `${events(said('A'))}${line}\n\n${events(said('C'))}${end}`;
    for (const size of [1, 2, 3, 7, 100, 1000]) {
      const { content, verdict } = read(body, { size });
      expect(verdict).toMatchObject(fault);
      expect(content).toBe('A');
    }
  });

  it('but JSON without a field is read', () => {
    const whole = `${events(said('A'))}${said('B')}\n\n${events(said('C'))}${end}`;
    expect(read(whole, { size: 9 })).toMatchObject({
      content: 'ABC',
      verdict: { kind: 'completed' },
    });
    const error = '{"error":{"message":"out of luck","code":500}}';
    expect(read(`${events(said('A'))}${error}\n\n`).verdict).toMatchObject({
      fault: { code: 'upstream_server_error', message: 'out of luck' },
    });
  });

  it('wherever it is cut', () => {
    const text = said('B');
    for (let length = 1; length < text.length; length++) {
      const { content, verdict } = read(events(said('A'), text.slice(0, length), said('C')) + end);
      expect(verdict).toMatchObject(fault);
      expect(content).toBe('A');
    }
  });

  it('also where it is the first one', () => {
    expect(read(events('Internal Server Error') + end).verdict).toMatchObject(fault);
  });

  it('unless every choice has its finish_reason', () => {
    const trailing = events(said('A'), chunk({}, 'stop'), 'Internal Server Error', cut(said('B')));
    expect(read(`${trailing}data: [DONE]\n\n`).verdict).toMatchObject({ kind: 'completed' });
    const two = { body: '{"n":2}' };
    expect(read(trailing, two).verdict).toMatchObject(fault);
  });

  it('and so are bytes that are no UTF-8, wherever the packets end', () => {
    const [before = '', after = ''] = events(said('A'), said('🌍x'), said('C')).split('🌍');
    const world = Buffer.from('🌍');
    for (const bytes of [world.subarray(0, 3), world.subarray(1), Buffer.from([0xff])]) {
      const body = Buffer.concat([Buffer.from(before), bytes, Buffer.from(after + end)]);
      for (const size of [1, 2, 3, 7, 1000]) {
        const { content, verdict } = read(body, { size });
        expect(verdict).toMatchObject(fault);
        expect(content).toBe('A');
      }
    }
    // The provider's own replacement character is a character like any other.
    for (const size of [1, 2, 3, 7, 1000]) {
      const { content, verdict } = read(events(said('A\uFFFD'), said('🌍')) + end, { size });
      expect(verdict).toMatchObject({ kind: 'completed' });
      expect(content).toBe('A\uFFFD🌍');
    }
  });
});

describe('an event that cannot have carried a part of the answer is dropped', () => {
  it.each([
    ['no data', ''],
    ['white space', '   '],
    ['null', 'null'],
    ['a ping as text', 'ping'],
    ['a keep-alive as text', ': keep-alive'],
    ['an object without choices', '{"type":"ping","cost":"0.1"}'],
    ['choices that are null', '{"id":"x","choices":null}'],
    ['JSON cut behind choices that are empty', '{"id":"x","choices":[],"usage":{"prompt_tok'],
    ['a ping that is cut', '{"type":"ping","cos'],
  ])('%s', (_what, junk) => {
    const { texts, verdict } = read(events(junk, said('A'), junk, said('B'), junk) + end);
    expect(verdict).toMatchObject({ kind: 'completed', finishReason: 'stop' });
    expect(texts).toEqual([said('A'), said('B'), chunk({}, 'stop')]);
  });

  it.each(['{"cost":"0.1"}', 'alive', '{"cos'])('a ping by its name: %s', (data) => {
    const ping = `event: ping\ndata: ${data}\n\n`;
    const { texts, verdict } = read(events(said('A')) + ping + events(said('B')) + ping + end);
    expect(verdict).toMatchObject({ kind: 'completed' });
    expect(texts).toHaveLength(3);
  });

  it('but not a choice under the name of a ping', () => {
    const named = `event: ping\ndata: ${said('B')}\n\n`;
    expect(read(events(said('A')) + named + end).content).toBe('AB');
  });
});

it('an event named error is the error, in whatever form', () => {
  const named = (data: string) =>
    read(`${events(said('A'))}event: error\ndata: ${data}\n\n`).verdict;
  expect(named('upstream is gone')).toMatchObject({ fault: { message: 'upstream is gone' } });
  expect(named('{"message":"gone"}')).toMatchObject({ fault: { message: 'gone' } });
  expect(named('{"error":{"message":"gone"}}')).toMatchObject({ fault: { message: 'gone' } });
});

describe('an error behind a finished answer', () => {
  it('does not break it, and the usage beside the error counts', () => {
    const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };
    const error = { code: 400, message: 'Token limit reached' };
    const over = choices([{ index: 0, delta: {}, finish_reason: 'length' }]);
    const late = JSON.stringify({ ...identity, error, choices: [], usage });
    const { content, verdict } = read(events(said('A'), over, late) + end);
    expect(content).toBe('A');
    expect(verdict).toMatchObject({ kind: 'completed', finishReason: 'length', usage });
  });
});
