import { describe, expect, it } from 'vitest';
import { continueBody, estimateTokens, usageOverSeam } from './continue-body.ts';
import { chooseAnchor } from './seam/anchor.ts';

const shown = 'The river turns the wheel, the wheel turns the stone, and the stone';
const body =
  '{"model":"m","messages":[{"role":"user","content":"Mill?"}],"seed":12345678901234567890}';

describe('the request that goes on with an answer', () => {
  it('is the same for a replay, byte for byte', () => {
    expect(continueBody(body, 'replay', shown)).toBe(body);
  });

  it('ends with the answer so far, and is otherwise byte for byte the same', () => {
    const turn = `{"role":"assistant","content":${JSON.stringify(shown)}}`;
    expect(continueBody(body, 'continue', shown)).toBe(
      body.replace('"Mill?"}]', `"Mill?"},${turn}]`),
    );
  });

  it('asks for the anchor to be repeated, behind the answer so far', () => {
    const { messages } = JSON.parse(continueBody(body, 'anchor', shown)) as {
      messages: { role: string; content: string }[];
    };
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user']);
    expect(messages[1]?.content).toBe(shown);
    expect(messages[2]?.content).toContain(`word for word:\n\n${chooseAnchor(shown)}\n\n`);
  });

  it('may have had no message at all', () => {
    const { messages } = JSON.parse(continueBody('{"messages": [ ] }', 'continue', 'Hi')) as {
      messages: unknown[];
    };
    expect(messages).toEqual([{ role: 'assistant', content: 'Hi' }]);
  });

  it.each(['max_tokens', 'max_completion_tokens'])('has %s reduced by what was shown', (name) => {
    const asked = (most: unknown, rung: 'continue' | 'replay' = 'continue') =>
      (
        JSON.parse(
          continueBody(JSON.stringify({ messages: [], [name]: most }), rung, shown),
        ) as Record<string, unknown>
      )[name];
    expect(asked(1000)).toBe(1000 - estimateTokens(shown.length));
    expect(asked(20)).toBe(16);
    expect(asked(null)).toBeNull();
    expect(asked(1000, 'replay')).toBe(1000);
  });
});

describe('the usage over a seam', () => {
  const usage = { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110, extra: { a: 1 } };

  it('is as reported where the answer was made as a whole', () => {
    expect(usageOverSeam(usage, undefined, shown)).toBe(usage);
    expect(usageOverSeam(usage, 'replay', shown)).toBe(usage);
    expect(usageOverSeam(undefined, 'continue', shown)).toBeUndefined();
  });

  it('counts what was shown as answer, not as prompt', () => {
    const moved = estimateTokens(shown.length);
    expect(usageOverSeam(usage, 'continue', shown)).toEqual({
      prompt_tokens: 100 - moved,
      completion_tokens: 10 + moved,
      total_tokens: 110,
      extra: { a: 1 },
    });
  });

  it('leaves out the anchor, and the words that asked for it', () => {
    const anchor = estimateTokens(chooseAnchor(shown)?.length ?? 0);
    const moved = estimateTokens(shown.length);
    const told = usageOverSeam({ prompt_tokens: 900, completion_tokens: 30 }, 'anchor', shown);
    expect(told).toMatchObject({ completion_tokens: 30 - anchor + moved });
    expect(told).toHaveProperty(
      'prompt_tokens',
      expect.toSatisfy((n: number) => n < 900 - moved),
    );
  });

  it('is never less than one token of prompt, or none of answer', () => {
    expect(
      usageOverSeam({ prompt_tokens: 3, completion_tokens: 0 }, 'anchor', shown),
    ).toMatchObject({
      prompt_tokens: 1,
      completion_tokens: estimateTokens(shown.length),
    });
  });
});
