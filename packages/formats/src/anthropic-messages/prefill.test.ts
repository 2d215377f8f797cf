import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { messageDelta, messageStart, messageStop, text, wire } from './events.fixture.ts';
import { joinPrefilled, strippedFrom } from './prefill.ts';
import { refusal, translate, user } from './request.fixture.ts';
import { answer, read } from './stream.fixture.ts';

const begun = (content: string, more: Record<string, unknown> = {}) => ({
  messages: [user, { role: 'assistant', content }],
  ...more,
});
/** The simulated provider's targets have no name of Claude's: the config says what they can do. */
const options = { model: 'unheard-of', prefill: true };

describe('going on behind what was shown', () => {
  it('ends with it, but for the white space at its end, which Anthropic does not take', () => {
    const { messages } = translate(begun('Once "upon" \n\u0085'), options);
    expect(messages.at(-1)).toEqual({
      role: 'assistant',
      content: [{ type: 'text', text: 'Once "upon"' }],
    });
    expect(strippedFrom(JSON.stringify(begun('Once "upon" \n\u0085')))).toBe(' \n\u0085');
  });

  it('goes without the thinking that an effort asks for', () => {
    const translated = translate(begun('Once', { reasoning_effort: 'high' }), {
      model: 'claude-sonnet-4-5',
      prefill: true,
    });
    expect(translated).not.toHaveProperty('thinking');
  });

  it.each([
    ['messages', begun(' \n')],
    ['messages', { messages: [user] }],
    ['thinking', begun('x', { thinking: { type: 'enabled', budget_tokens: 2000 } })],
    ['thinking', begun('x', { thinking: { type: 'adaptive' } })],
    ['response_format', begun('x', { response_format: { type: 'json_schema' } })],
    ['output_config', begun('x', { output_config: { format: { type: 'json_schema' } } })],
  ])('is refused for %s in %j', (param, request) => {
    expect(refusal(request, options.model, true)[0]).toBe(param);
  });

  it('is not refused for a format that is none', () => {
    const plain = { response_format: { type: 'text' }, output_config: { effort: 'low' } };
    expect(refusal(begun('x', plain), options.model, true)).toEqual([]);
  });

  it('does not repeat the white space that was shown, and keeps the identity that was', () => {
    const events = [messageStart(), ...text(0, ' ', ' \n', 'a time'), messageDelta('end_turn')];
    const identity = { id: 'chatcmpl-first', created: 1_700_000_000, model: 'gpt-4o' };
    const call = { body: JSON.stringify(begun('Once  ')), prefill: true, identity };
    const result = read(wire([...events, messageStop]), [], call);
    expect(answer(result).message.content).toBe('\na time');
    for (const chunk of [...result.chunks, ...result.usages]) expect(chunk).toMatchObject(identity);
  });
});

describe('joining what comes to what was shown', () => {
  const joined = (stripped: string, ...pieces: string[]) => {
    const join = joinPrefilled(stripped);
    return pieces.map((piece) => join.push(piece));
  };

  it.each([
    ['nothing stripped', '', [' a', 'b'], [' a', 'b']],
    ['the same white space', '\n\n', ['\n\nOnce', ' b'], ['Once', ' b']],
    ['in pieces', '\n\n', ['\n', '\nOnce'], ['', 'Once']],
    ['more of it', '\n', ['\n', '\n  x'], ['', '\n  x']],
    ['less of it', '\n\n', ['\n', 'x'], ['', 'x']],
    ['other', '\n', [' x'], ['x']],
    ['none', ' ', ['x', ' y'], ['x', ' y']],
  ])('with %s', (_what, stripped, pieces, expected) => {
    expect(joined(stripped, ...pieces)).toEqual(expected);
  });

  it('gives the text back whole where the model goes on exactly, whatever pieces it comes in', () => {
    const piece = fc.string({ unit: fc.constantFrom(' ', '\n', 'a', 'b', '.'), maxLength: 4 });
    fc.assert(
      fc.property(fc.array(piece), fc.array(piece), (before, after) => {
        const shown = `x${before.join('')}`;
        const stripped = strippedFrom(JSON.stringify(begun(shown)));
        const join = joinPrefilled(stripped);
        const pieces = [...stripped.split(''), ...after];
        expect(shown + pieces.map((next) => join.push(next)).join('')).toBe(shown + after.join(''));
      }),
    );
  });
});
