import { describe, expect, it } from 'vitest';
import { sdkDecoders } from './sdk-decoders.ts';
import type { SdkName } from './sdk-decoders.ts';
import { readStrictly } from './strict-event-stream.ts';
import type { AskedFor } from './strict-event-stream.ts';

const named = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'm' };
const chunk = (more: Record<string, unknown> = {}) => ({ ...named, ...more });
const choice = (delta: Record<string, unknown>, reason: string | null = null, index = 0) => ({
  index,
  delta,
  finish_reason: reason,
});
const says = (delta: Record<string, unknown>, reason: string | null = null, index = 0) =>
  event(chunk({ choices: [choice(delta, reason, index)] }));
const event = (data: unknown) => `data: ${JSON.stringify(data)}\n\n`;

const call = (one: Record<string, unknown>) => ({ tool_calls: [one] });

const role = says({ role: 'assistant', content: '' });
const text = says({ content: 'hello' });
const stop = says({}, 'stop');
const done = 'data: [DONE]\n\n';
const usage = event(chunk({ choices: [], usage: { total_tokens: 3 } }));

function faultOf(body: string, asked: Partial<AskedFor> = {}, isComplete = true) {
  const reader = readStrictly(asked);
  reader.push(body);
  reader.end(isComplete);
  return reader.fault?.message;
}

describe('a strict reader', () => {
  it.each([
    ['with a role, text and an end', role + text + stop + done, {}],
    ['with comments between its events', `: a\n${role}: b\n${text}: c\n: d\n${stop}${done}`, {}],
    ['with usage that was asked for', role + text + stop + usage + done, { usage: true }],
    [
      'with ids that were asked for',
      `id: 1-1\n${role}: a\nid: 1-2\n${stop}${done}`,
      { eventIds: true },
    ],
    ['that ends with an error', `${role}${text}${event({ error: { message: 'no' } })}`, {}],
    [
      'of two choices',
      role + says({ role: 'assistant' }, null, 1) + stop + says({}, 'length', 1) + done,
      {},
    ],
    [
      'with what a filter says of the prompt',
      event(chunk({ choices: [] })) + role + stop + done,
      {},
    ],
  ])('takes a stream %s, in any cut', (_what, body, asked) => {
    expect(faultOf(body, asked)).toBeUndefined();
    const reader = readStrictly(asked);
    for (const letter of body) reader.push(letter);
    reader.end(true);
    expect(reader.fault).toBeUndefined();
  });

  it('does not judge the end of a stream whose connection broke', () => {
    expect(faultOf(`${role}${text}data: {"id"`, {}, false)).toBeUndefined();
    expect(faultOf(role + role, {}, false)).toContain('role twice');
  });

  it.each<[string, string, string, Partial<AskedFor>?]>([
    [
      'a blank line behind a comment, where an id came before',
      `id: 1-1\n${role}: keep-alive\n\n${stop}${done}`,
      'openai-python cannot parse the data ""',
      { eventIds: true },
    ],
    ['an id that was not asked for', `id: 1-1\n${role}${stop}${done}`, 'an id'],
    [
      'a blank line behind an id',
      `id: 1-1\n\n${role}`,
      'openai-python cannot parse the data ""',
      { eventIds: true },
    ],
    ['an event name', `event: chunk\n${role}`, 'an event with a name'],
    ['a retry field', `retry: 500\n${role}`, 'a retry field'],
    ['empty data', `data:\n\n${role}`, 'cannot parse the data ""'],
    ['data that is no JSON', `data: {"id":\n\n${role}`, 'cannot parse the data'],
    ['data that is no object', 'data: 7\n\n', 'no object'],
    ['lines that end with a carriage return', role.replaceAll('\n', '\r\n'), 'carriage return'],
    ['a role twice', role + role, 'role twice in choice 0'],
    ['no id', event(chunk({ id: '', choices: [] })), 'id is ""'],
    ['no time', event(chunk({ created: 0, choices: [] })), 'created is 0'],
    ['no model', event(chunk({ model: undefined, choices: [] })), 'model is undefined'],
    ['another object', event(chunk({ object: 'x', choices: [] })), 'object is "x"'],
    ['an id that changes', role + event(chunk({ id: 'b', choices: [] })), 'change from'],
    ['a model that changes', role + event(chunk({ model: 'b', choices: [] })), 'change from'],
    ['a time that changes', role + event(chunk({ created: 2, choices: [] })), 'change from'],
    ['no choices', event(chunk()), 'choices is no array'],
    ['usage that was not asked for', role + usage, 'usage, for which'],
    [
      'usage of null that was not asked for',
      event(chunk({ choices: [], usage: null })),
      'usage, for which',
    ],
    ['a tool call that begins without an id', says(call({ index: 0 })), 'begins without an id'],
    [
      'the id of a tool call again',
      says(call({ index: 0, id: 'a', function: { name: 'f' } })) +
        says(call({ index: 0, id: 'a' })),
      'has an id or a name again',
    ],
    [
      'the name of a tool call again',
      says(call({ index: 0, id: 'a' })) + says(call({ index: 0, function: { name: 'f' } })),
      'has an id or a name again',
    ],
    ['usage twice', role + stop + usage + usage, 'a second chunk of usage', { usage: true }],
    [
      'usage beside a part of the answer',
      role + event(chunk({ choices: [{ index: 0, delta: {} }], usage: { total_tokens: 3 } })),
      'beside a part of the answer',
      { usage: true },
    ],
    ['the key "error" in a chunk', event(chunk({ choices: [], error: null })), 'field "error"'],
    ['text behind the end of its choice', role + stop + text, 'goes on behind its finish_reason'],
    ['two ends of a choice', role + stop + stop, 'a second finish_reason'],
    [
      'a chunk of nothing behind the end',
      role + stop + event(chunk({ choices: [] })),
      'behind the last',
    ],
    ['a tool call without an index', says({ tool_calls: [{ id: 'a' }] }), 'call without an index'],
    [
      '[DONE] without a finish_reason',
      role + text + done,
      '[DONE] without a finish_reason of choice 0',
    ],
    ['no [DONE]', role + stop, 'neither [DONE] nor an error'],
    ['an event behind [DONE]', role + stop + done + text, 'behind [DONE]'],
    ['[DONE] twice', role + stop + done + done, 'behind [DONE]'],
    ['an event behind an error', event({ error: { message: 'no' } }) + text, 'behind an error'],
    ['[DONE] behind an error', event({ error: { message: 'no' } }) + done, 'behind an error'],
    ['no blank line behind [DONE]', `${role}${stop}data: [DONE]\n`, 'no blank line'],
    ['an end in the middle of a line', `${role}${stop}${done}data`, 'no blank line'],
  ])('finds %s', (_what, body, rule, asked = {}) => {
    expect(faultOf(body, asked)).toContain(rule);
  });

  it('finds a line that is too long for the scanner of Go', () => {
    const long = says({ content: 'x'.repeat(33 * 1024 * 1024) });
    expect(faultOf(role + long)).toContain('too long for openai-go');
  });
});

describe('the decoder of an SDK', () => {
  const messagesOf = (name: SdkName, body: string): string[] => {
    const decode = sdkDecoders[name]();
    return body
      .split('\n')
      .slice(0, -1)
      .flatMap((line) => decode(line)?.data ?? []);
  };
  const names = Object.keys(sdkDecoders) as SdkName[];

  it.each(names)('%s reads data with and without a blank, and leaves out comments', (name) => {
    const messages = messagesOf(name, 'data: a\n\n:x\n\ndata:b\n\n');
    expect(messages.map((data) => data.trim())).toEqual(['a', 'b']);
  });

  it('differs at a blank line behind an id, an event name alone, and empty data', () => {
    const count = (body: string) =>
      Object.fromEntries(names.map((name) => [name, messagesOf(name, body).length]));
    expect(count('id: 1\n\n: x\n\n')).toEqual({
      'openai-python': 2,
      'openai-node': 0,
      'openai-java': 0,
      'openai-go': 0,
    });
    expect(count('event: a\n\n')).toEqual({
      'openai-python': 1,
      'openai-node': 1,
      'openai-java': 0,
      'openai-go': 0,
    });
    expect(new Set(Object.values(count('data:\n\n')))).toEqual(new Set([1]));
  });
});
