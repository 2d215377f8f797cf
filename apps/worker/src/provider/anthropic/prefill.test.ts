import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { joinPrefilled, withPrefill } from './prefill.ts';
import { translateRequest } from './request.ts';

const body = '{"model":"m", "n":1.0, "messages": [ {"role":"user","content":"Tell."} ] }';

describe('going on behind what was shown', () => {
  it('appends the text as the last message and changes no other byte', () => {
    expect(withPrefill(body, 'Once "upon"')).toEqual({
      kind: 'prefilled',
      body: '{"model":"m", "n":1.0, "messages": [ {"role":"user","content":"Tell."},{"role":"assistant","content":"Once \\"upon\\""}] }',
      stripped: '',
    });
  });

  it('accounts for the white space at the end, which Anthropic does not take', () => {
    const prefilled = withPrefill('{"messages":[]}', 'Once \n\u0085');
    expect(prefilled).toEqual({
      kind: 'prefilled',
      body: '{"messages":[{"role":"assistant","content":"Once"}]}',
      stripped: ' \n\u0085',
    });
  });

  it.each([
    ['nothing_shown', ' \n', {}],
    ['thinking', 'x', { thinking: { type: 'enabled', budget_tokens: 2000 } }],
    ['thinking', 'x', { thinking: { type: 'adaptive' } }],
    ['response_format', 'x', { response_format: { type: 'json_schema' } }],
    ['response_format', 'x', { output_config: { format: { type: 'json_schema' } } }],
  ])('is impossible for reason of %s', (why, text, members) => {
    expect(withPrefill(JSON.stringify({ messages: [], ...members }), text)).toEqual({
      kind: 'impossible',
      why,
    });
  });

  it('translates to a trailing assistant message, without the thinking that does not go with it', () => {
    const prefilled = withPrefill(
      JSON.stringify({ messages: [{ role: 'user', content: 'Tell.' }], reasoning_effort: 'high' }),
      'Once ',
    );
    const translated: unknown = JSON.parse(
      translateRequest((prefilled as { body: string }).body, {
        model: 'claude-sonnet-4-5',
        stream: true,
      }),
    );
    expect(translated).toMatchObject({
      messages: [
        { role: 'user' },
        { role: 'assistant', content: [{ type: 'text', text: 'Once' }] },
      ],
    });
    expect(translated).not.toHaveProperty('thinking');
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
        const prefilled = withPrefill('{"messages":[]}', shown);
        if (prefilled.kind !== 'prefilled') throw new Error('not prefilled');
        const join = joinPrefilled(prefilled.stripped);
        const pieces = [...prefilled.stripped.split(''), ...after];
        expect(shown + pieces.map((next) => join.push(next)).join('')).toBe(shown + after.join(''));
      }),
    );
  });
});
