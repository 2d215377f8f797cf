import { describe, expect, it } from 'vitest';
import {
  blockDelta,
  blockStart,
  messageDelta,
  messageStart,
  messageStop,
  ping,
  text,
  wire,
} from './events.fixture.ts';
import type { WireEvent } from './events.fixture.ts';
import { answer, deltas, hello, read } from './stream.fixture.ts';

describe('a stream of Anthropic that breaks', () => {
  const overloaded: WireEvent = {
    type: 'error',
    error: { type: 'overloaded_error', message: 'Overloaded' },
    request_id: 'req_1',
  };

  it.each([
    ['at once', [overloaded], 0],
    ['in the middle', [messageStart(), ...text(0, 'Hel'), overloaded], 2],
  ])('is a fault with the status of the error that came %s', (_when, events, shown) => {
    const { verdict, chunks, usages, verdictAtPush } = read(wire(events));
    expect(verdict).toEqual({
      kind: 'fault',
      fault: {
        code: 'upstream_overloaded',
        message: 'Overloaded',
        httpStatus: 529,
        error: {
          message: 'Overloaded',
          type: 'overloaded_error',
          param: null,
          code: 'overloaded',
          request_id: 'req_1',
        },
      },
    });
    expect(chunks).toHaveLength(shown);
    // What the prompt cost was told at the start.
    expect(usages).toHaveLength(shown === 0 ? 0 : 1);
    expect(verdictAtPush).toBe(true);
  });

  it('is whole when the error comes behind the stop_reason', () => {
    const { verdict, usages } = read(wire([...hello.slice(0, -1), overloaded]));
    expect(verdict).toMatchObject({ kind: 'completed', finishReason: 'stop' });
    expect(usages.at(-1)).toMatchObject({ usage: { completion_tokens: 7 } });
  });

  it('is whole without message_stop, and truncated without a stop_reason', () => {
    const noStop = read(wire(hello.slice(0, -1)));
    expect(noStop.verdictAtPush).toBe(false);
    expect(noStop.verdict).toMatchObject({ kind: 'completed', finishReason: 'stop' });
    expect(noStop.usages.at(-1)).toMatchObject({ usage: { completion_tokens: 7 } });

    const noReason = read(wire([messageStart(), ...text(0, 'x'), messageDelta(null), messageStop]));
    const cutOff = read(wire(hello.slice(0, 3)));
    for (const { verdict, usages } of [noReason, cutOff]) {
      expect(verdict).toMatchObject({ kind: 'fault', fault: { code: 'upstream_truncated' } });
      expect(usages.at(-1)).toMatchObject({ usage: { prompt_tokens: 33 } });
    }
  });

  it.each([
    ['nothing', ''],
    ['pings', wire([ping, ping])],
  ])('is no answer where only %s came', (_what, body) => {
    expect(read(body).verdict).toMatchObject({
      kind: 'fault',
      fault: { code: 'upstream_invalid_response' },
    });
  });

  it('drops events that cannot have carried a part of the answer', () => {
    const junk = [
      'event: ping\ndata: {"type":"pi\n\n',
      'data: {"type":"ping","x\n\n',
      'data: [DONE]\n\n',
      'data: null\n\n',
      'event: vertex_event\ndata: {"type":"vertex_event","x":1}\n\n',
      'data: {"type":"content_block_delta","index":0,"delta":{"type":"new_delta","text":5}}\n\n',
      'data: {"type":"content_block_stop","index":99}\n\n',
      'data: {"type":"message_delta"}\n\n',
    ].join('');
    const clean = read(wire(hello));
    const [start = '', ...rest] = hello.map((event) => wire([event]));
    const dirty = read([junk, start, junk, rest.join(junk)].join(''));
    expect(dirty.texts).toEqual(clean.texts);
    expect(dirty.verdict).toEqual(clean.verdict);
  });

  it.each([
    [
      'JSON that is cut',
      '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" bro',
    ],
    ['JSON that is cut before its type', '{"ty'],
    ['plain text', 'Internal Server Error'],
    ['two events on one line', `${JSON.stringify(ping)}data: ${JSON.stringify(ping)}`],
    ['a delta that is no object', JSON.stringify(blockDelta(0, 'x' as never))],
    ['a text that is a number', JSON.stringify(blockDelta(0, { type: 'text_delta', text: 5 }))],
    ['a block that is none', '{"type":"content_block_start","index":1,"content_block":null}'],
    ['a tool without a name', JSON.stringify(blockStart(1, { type: 'tool_use', id: 'a' }))],
    [
      'arguments of a block that never began',
      JSON.stringify(blockDelta(9, { type: 'input_json_delta', partial_json: '{' })),
    ],
  ])('ends behind the last event that can be read: %s', (_what, damaged) => {
    const [before, after] = [wire(hello.slice(0, 3)), wire(hello.slice(3))];
    const { texts, verdict, verdictAtPush } = read(`${before}data: ${damaged}\n\n${after}`);
    expect(verdict).toMatchObject({ fault: { code: 'upstream_invalid_response' } });
    expect(verdictAtPush).toBe(true);
    expect(texts).toHaveLength(2);
    // Behind the stop_reason nothing can be missing.
    const late = read(`${wire(hello.slice(0, -1))}data: ${damaged}\n\n${wire([messageStop])}`);
    expect(late.verdict).toMatchObject({ kind: 'completed' });
    expect(late.texts).toEqual(read(wire(hello)).texts);
  });

  it('ends behind the last event that can be read, wherever one is cut', () => {
    for (const [at, event] of hello.slice(0, 4).entries()) {
      const [before, after] = [wire(hello.slice(0, at)), wire(hello.slice(at + 1))];
      const data = JSON.stringify(event);
      for (let length = 1; length < data.length; length++) {
        const { texts, verdict } = read(`${before}data: ${data.slice(0, length)}\n\n${after}`);
        expect(verdict).toMatchObject({ fault: { code: 'upstream_invalid_response' } });
        expect(texts).toHaveLength(Math.max(0, at - (at > 1 ? 1 : 0)));
      }
    }
  });

  it('reads the text of a block whose start did not come', () => {
    const [start = ping, , ...rest] = hello;
    const { verdict, ...told } = read(wire([start, ...rest]));
    expect(verdict).toMatchObject({ kind: 'completed' });
    expect(answer({ verdict, ...told }).message.content).toBe('Hello 🌍');
  });

  it('is truncated where a second answer is joined to a shown part of the first', () => {
    const second = [messageStart({ id: 'msg_2' }), ...hello.slice(1)];
    const shown = read(wire([...hello.slice(0, 3), ...second]));
    expect(shown.verdict).toMatchObject({ fault: { code: 'upstream_truncated' } });
    expect(shown.chunks).toHaveLength(2);

    const silent = read(wire([...hello.slice(0, 2), ...second]));
    expect(silent.verdict).toMatchObject({ kind: 'completed' });
    expect(answer(silent).message.content).toBe('Hello 🌍');
    expect(deltas(silent).filter((delta) => delta.role)).toHaveLength(1);
  });

  it('refuses an event beyond every bound', () => {
    const huge = wire([messageStart(), ...text(0, 'x'.repeat(17 * 1024 * 1024))]);
    expect(read(huge).verdict).toMatchObject({ fault: { code: 'upstream_response_too_large' } });
  });
});

it('never takes a stream that was cut off before its stop_reason for a whole answer', () => {
  const body = Buffer.from(wire(hello));
  const end = body.indexOf('"stop_reason":"end_turn"');
  const lengths = Array.from({ length: end }, (_, length) => length);
  const whole = lengths.filter(
    (length) => read(body.subarray(0, length)).verdict.kind === 'completed',
  );
  expect(whole).toEqual([]);
});
