import { describe, expect, it } from 'vitest';
import { chunk, deliveredOf, toolCall } from './history.fixture.ts';
import { addChunk, addText, isEmpty, keptChars, nothingDelivered, plainText } from './delivered.ts';

describe('what readers were shown', () => {
  it('is nothing after a role, an empty delta or chunks that are none', () => {
    const empty = [chunk({ role: 'assistant', content: '' }), chunk({}), {}, { choices: 'x' }];
    expect(isEmpty(deliveredOf(...empty))).toBe(true);
    expect(plainText(deliveredOf(...empty))).toBeUndefined();
  });

  it('is something after an end alone', () => {
    const shown = deliveredOf(chunk({}, { finish: 'stop' }));
    expect(isEmpty(shown)).toBe(false);
    expect(shown.finished).toEqual(new Map([[0, 'stop']]));
  });

  it('has the text of each channel of each choice', () => {
    const shown = deliveredOf(
      chunk({ reasoning_content: 'Hm. ' }),
      chunk({ content: 'He' }),
      chunk({ content: 'llo' }),
      chunk({ content: 'Hi', refusal: 'No' }, { index: 1 }),
    );
    expect(Object.fromEntries(shown.texts)).toEqual({
      '0:reasoning': 'Hm. ',
      '0:content': 'Hello',
      '1:content': 'Hi',
      '1:refusal': 'No',
    });
    expect([...shown.begun]).toEqual([0, 1]);
    expect(keptChars(shown)).toBe('Hm. HelloHiNo'.length);
  });

  it('counts reasoning once that comes under two names', () => {
    const shown = deliveredOf(chunk({ reasoning: 'Hm.', reasoning_content: 'Hm.' }));
    expect(shown.texts.get('0:reasoning')).toBe('Hm.');
  });

  it('that is longer than what may be kept is not kept, and cannot be compared any more', () => {
    const shown = nothingDelivered(10);
    addText(shown, '0:content', 'Hello');
    addText(shown, '1:content', 'Hello');
    expect([keptChars(shown), shown.chars, shown.other]).toEqual([10, 10, false]);
    addText(shown, '0:content', '!');
    expect([keptChars(shown), shown.chars, shown.other]).toEqual([0, 11, true]);
    addText(shown, '0:content', '?');
    expect([keptChars(shown), shown.chars]).toEqual([0, 12]);
    expect([plainText(shown), isEmpty(shown)]).toEqual([undefined, false]);
  });

  it('is a plain text only where there is nothing beside it', () => {
    const text = chunk({ content: 'Hello' });
    expect(plainText(deliveredOf(text))).toBe('Hello');
    expect(plainText(deliveredOf(text, chunk({ reasoning: 'Hm.' })))).toBeUndefined();
    expect(plainText(deliveredOf(text, chunk({ content: 'Hi' }, { index: 1 })))).toBeUndefined();
    expect(plainText(deliveredOf(text, chunk(toolCall)))).toBeUndefined();
    expect(
      plainText(deliveredOf(text, chunk({}, { logprobs: { content: [{ token: 'a' }] } }))),
    ).toBeUndefined();
  });

  it('has the identity of the first chunk that has one', () => {
    const first = { ...chunk({}), id: '', model: '' };
    const shown = deliveredOf(first, chunk({ content: 'a' }), {
      ...chunk({ content: 'b' }),
      id: 'x',
    });
    expect(shown.identity).toEqual({ id: 'chatcmpl-1', created: 1, model: 'm' });
  });

  it('has what its parts say, joined as a reader joins them, and counts it', () => {
    const part = (text: string) => ({ reasoning_details: [{ type: 'reasoning.text', text }] });
    const shown = deliveredOf(chunk(part('Hm')), chunk(part('')), chunk(part('.')));
    const [leaf, ...more] = shown.parts.get('0:reasoning_details') ?? [];
    expect([leaf?.kind, leaf?.value, more]).toEqual(['text', 'Hm.', []]);
    expect([shown.chars, shown.partChars, keptChars(shown)]).toEqual([0, 3, 3]);
    expect([isEmpty(shown), plainText(shown)]).toEqual([false, undefined]);
  });

  it('keeps no more of parts than of text', () => {
    const shown = nothingDelivered(10);
    const part = { reasoning_details: [{ type: 'reasoning.encrypted', data: 'AAAAAAAAAAAA' }] };
    addChunk(shown, chunk({ content: 'Hello' }));
    addChunk(shown, chunk(part));
    expect([keptChars(shown), shown.other]).toEqual([0, true]);
  });

  it('is no trouble where a value is nested more deeply than JSON can be written', () => {
    const deep: unknown = JSON.parse('['.repeat(100_000) + ']'.repeat(100_000));
    const parts = { reasoning_details: [{ type: 'x', data: deep }], content: [deep] };
    const shown = deliveredOf(
      chunk({ x: { deep }, type: deep, ...parts }),
      chunk({ list: [deep], y: { deep } }),
    );
    expect(shown.parts.size).toBe(2);
  });

  it('cannot be compared where it is reasoning in a form that we do not know', () => {
    expect(deliveredOf(chunk({ thinking: { text: 'Hm.' } })).other).toBe(true);
    expect(deliveredOf(chunk({ thinking: { text: '' }, reasoning: {} })).other).toBe(false);
  });
});
