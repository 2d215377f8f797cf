import { describe, expect, it } from 'vitest';
import { chunk, plainTraits, deliveredOf, toolCall } from './history.fixture.ts';
import { strategiesFor } from './strategies.ts';
import type { StrategyInput } from './strategies.ts';

/* The table of strategies: what was shown and what was asked for decide which are right at all. */

const long = 'It was shown already, and it is long enough to be found again by its last words.';
const text = deliveredOf(chunk({ role: 'assistant', content: long }));

const strategies = (input: Partial<StrategyInput> = {}) =>
  Array.from(
    strategiesFor({
      delivered: text,
      traits: plainTraits,
      continuation: 'auto',
      prefill: true,
      sameModel: false,
      ...input,
    }),
  );

describe('the strategies after', () => {
  it('nothing: none, the request is made anew', () => {
    expect(strategies({ delivered: deliveredOf() })).toEqual([]);
    expect(
      strategies({ delivered: deliveredOf(chunk({ role: 'assistant', content: '' })) }),
    ).toEqual([]);
  });

  it('text without tools: native continuation, anchor, replay', () => {
    expect(strategies()).toEqual(['continue', 'anchor', 'replay']);
    expect(strategies({ prefill: false })).toEqual(['anchor', 'replay']);
  });

  it('text whose repetition is likely: replay before the anchor', () => {
    const expected = ['continue', 'replay', 'anchor'];
    expect(strategies({ sameModel: true })).toEqual(expected);
    expect(strategies({ traits: { ...plainTraits, repeats: true } })).toEqual(expected);
    const little = deliveredOf(chunk({ content: long.slice(0, 79) }));
    expect(strategies({ delivered: little })).toEqual(expected);
  });

  it('text too short for an anchor: without it', () => {
    expect(strategies({ delivered: deliveredOf(chunk({ content: 'Short.' })) })).toEqual([
      'continue',
      'replay',
    ]);
  });

  it.each([
    ['JSON', { ...plainTraits, json: true }],
    ['several choices', { ...plainTraits, choices: 2 }],
    ['an assistant turn at its end', { ...plainTraits, endsWithAssistant: true }],
  ])('text of a request with %s: replay only', (_, traits) => {
    expect(strategies({ traits })).toEqual(['replay']);
  });

  it('text of a request with tools: replay, and what may call them where that is known or asked for', () => {
    const traits = { ...plainTraits, tools: true };
    expect(strategies({ traits })).toEqual(['replay']);
    expect(strategies({ traits, prefill: 'with-tools' })).toEqual(['continue', 'replay']);
    expect(strategies({ traits, continuation: 'always' })).toEqual(['replay', 'anchor']);
    expect(strategies({ traits, prefill: 'with-tools', continuation: 'always' })).toEqual([
      'continue',
      'replay',
      'anchor',
    ]);
    const thinking = { ...traits, thinking: true };
    expect(strategies({ traits: thinking, prefill: 'with-tools' })).toEqual(['replay']);
  });

  it.each([
    ['no reasoning in parts', chunk({ content: long, reasoning_details: [] })],
    [
      'an empty part',
      chunk({ content: long, reasoning_details: [{ type: 'reasoning.text', text: '', index: 0 }] }),
    ],
    [
      'no log probabilities',
      chunk({ content: long }, { logprobs: { content: null, refusal: null } }),
    ],
    ['an annotation', chunk({ content: long, annotations: [{ type: 'url_citation' }] })],
  ])('text with %s: as text alone', (_, shown) => {
    expect(strategies({ delivered: deliveredOf(shown) })).toEqual(['continue', 'anchor', 'replay']);
  });

  it.each([
    ['reasoning', chunk({ reasoning_content: 'Let me think.' })],
    ['a refusal', chunk({ refusal: 'I cannot.' })],
    ['log probabilities', chunk({}, { logprobs: { content: [{ token: 'It', logprob: -1 }] } })],
    ['content in parts', chunk({ content: [{ type: 'thinking', thinking: 'Hm.' }] })],
    ['encrypted reasoning', chunk({ reasoning_details: [{ type: 'x', data: 'AAAA' }] })],
    ['text of a second choice', chunk({ content: 'Or so.' }, { index: 1 })],
  ])('%s: replay only, where all of it repeats exactly', (_, more) => {
    expect(strategies({ delivered: deliveredOf(chunk({ content: long }), more) })).toEqual([
      'replay',
    ]);
  });

  it.each([
    ['a tool call', chunk(toolCall)],
    ['audio', chunk({ audio: { id: 'a', data: 'AAAA' } })],
  ])('%s: none', (_, shown) => {
    expect(strategies({ delivered: deliveredOf(shown) })).toEqual([]);
  });
});

describe('continuation', () => {
  it('strict stops before the anchor', () => {
    expect(strategies({ continuation: 'strict' })).toEqual(['continue', 'replay']);
  });

  it('always is auto where no tools are offered', () => {
    expect(strategies({ continuation: 'always' })).toEqual(strategies());
  });

  it('off stops before any', () => {
    expect(strategies({ continuation: 'off' })).toEqual([]);
  });
});
