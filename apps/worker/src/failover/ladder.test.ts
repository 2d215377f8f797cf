import { describe, expect, it } from 'vitest';
import { chunk, plainTraits, shownOf, toolCall } from './history.fixture.ts';
import { rungsFor } from './ladder.ts';
import type { LadderInput } from './ladder.ts';

/* The table of rungs: what was shown and what was asked for decide which are right at all. */

const long = 'It was shown already, and it is long enough to be found again by its last words.';
const text = shownOf(chunk({ role: 'assistant', content: long }));

const rungs = (input: Partial<LadderInput> = {}) =>
  Array.from(
    rungsFor({
      shown: text,
      traits: plainTraits,
      continuation: 'auto',
      prefill: true,
      sameModel: false,
      ...input,
    }),
  );

describe('the rungs after', () => {
  it('nothing: none, the request is made anew', () => {
    expect(rungs({ shown: shownOf() })).toEqual([]);
    expect(rungs({ shown: shownOf(chunk({ role: 'assistant', content: '' })) })).toEqual([]);
  });

  it('text without tools: native continuation, anchor, replay', () => {
    expect(rungs()).toEqual(['continue', 'anchor', 'replay']);
    expect(rungs({ prefill: false })).toEqual(['anchor', 'replay']);
  });

  it('text whose repetition is likely: replay before the anchor', () => {
    const expected = ['continue', 'replay', 'anchor'];
    expect(rungs({ sameModel: true })).toEqual(expected);
    expect(rungs({ traits: { ...plainTraits, repeats: true } })).toEqual(expected);
    const little = shownOf(chunk({ content: long.slice(0, 79) }));
    expect(rungs({ shown: little })).toEqual(expected);
  });

  it('text too short for an anchor: without it', () => {
    expect(rungs({ shown: shownOf(chunk({ content: 'Short.' })) })).toEqual(['continue', 'replay']);
  });

  it.each([
    ['tools', { ...plainTraits, tools: true }],
    ['JSON', { ...plainTraits, json: true }],
    ['several choices', { ...plainTraits, choices: 2 }],
    ['an assistant turn at its end', { ...plainTraits, endsWithAssistant: true }],
  ])('text of a request with %s: replay only', (_, traits) => {
    expect(rungs({ traits })).toEqual(['replay']);
  });

  it.each([
    ['reasoning', chunk({ reasoning_content: 'Let me think.' })],
    ['a refusal', chunk({ refusal: 'I cannot.' })],
    ['text of a second choice', chunk({ content: 'Or so.' }, { index: 1 })],
  ])('%s: replay only, where all of it repeats exactly', (_, more) => {
    expect(rungs({ shown: shownOf(chunk({ content: long }), more) })).toEqual(['replay']);
  });

  it.each([
    ['a tool call', chunk(toolCall)],
    ['log probabilities', chunk({ content: long }, { logprobs: { content: [] } })],
    ['audio', chunk({ audio: { id: 'a', data: 'AAAA' } })],
    ['content in parts', chunk({ content: [{ type: 'text', text: long }] })],
  ])('%s: none', (_, shown) => {
    expect(rungs({ shown: shownOf(shown) })).toEqual([]);
  });
});

describe('continuation', () => {
  it('strict stops before the anchor', () => {
    expect(rungs({ continuation: 'strict' })).toEqual(['continue', 'replay']);
  });

  it('off stops before any', () => {
    expect(rungs({ continuation: 'off' })).toEqual([]);
  });
});
