import { describe, expect, it } from 'vitest';
import { continuationBody, promptTokens } from './continue-body.ts';
import { chooseAnchor } from './splice/anchor.ts';

const shown = 'The river turns the wheel, the wheel turns the stone, and the stone';
const body =
  '{"model":"m","messages":[{"role":"user","content":"Mill?"}],"seed":12345678901234567890}';

describe('the request that goes on with an answer', () => {
  it('is the same for a replay, byte for byte', () => {
    expect(continuationBody(body, 'replay', shown)).toBe(body);
  });

  it('ends with the answer so far, and is otherwise byte for byte the same', () => {
    const turn = `{"role":"assistant","content":${JSON.stringify(shown)}}`;
    expect(continuationBody(body, 'continue', shown)).toBe(
      body.replace('"Mill?"}]', `"Mill?"},${turn}]`),
    );
  });

  it('asks for the anchor to be repeated, behind the answer so far', () => {
    const { messages } = JSON.parse(continuationBody(body, 'anchor', shown)) as {
      messages: { role: string; content: string }[];
    };
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user']);
    expect(messages[1]?.content).toBe(shown);
    expect(messages[2]?.content).toContain(`word for word:\n\n${chooseAnchor(shown)}\n\n`);
  });

  it('may have had no message at all', () => {
    const { messages } = JSON.parse(continuationBody('{"messages": [ ] }', 'continue', 'Hi')) as {
      messages: unknown[];
    };
    expect(messages).toEqual([{ role: 'assistant', content: 'Hi' }]);
  });

  it.each(['max_tokens', 'max_completion_tokens'])('has %s reduced by what was shown', (name) => {
    const asked = (most: unknown, strategy: 'continue' | 'replay' = 'continue') =>
      (
        JSON.parse(
          continuationBody(JSON.stringify({ messages: [], [name]: most }), strategy, shown),
        ) as Record<string, unknown>
      )[name];
    expect(asked(1000)).toBe(1000 - Math.ceil(shown.length / 4));
    expect(asked(20)).toBe(16);
    expect(asked(null)).toBeNull();
    expect(asked(1000, 'replay')).toBe(1000);
  });
});

it('reduces the room by what Chinese text takes, which is more than what English does', () => {
  const chinese = '河水推动水轮，水轮带动磨石。'.repeat(4);
  const body = continuationBody('{"messages":[],"max_tokens":1000}', 'continue', chinese);
  expect(JSON.parse(body)).toMatchObject({ max_tokens: 1000 - chinese.length });
});

it('counts as prompt what a model reads, and nothing else', () => {
  const messages = [{ role: 'user', content: 'Mill?' }];
  const bare = promptTokens(JSON.stringify({ messages }));
  expect(bare).toBe(JSON.stringify(messages).length / 4);
  expect(promptTokens(JSON.stringify({ messages, model: 'm', metadata: { a: 'b' } }))).toBe(bare);
  const tools = [{ type: 'function', function: { name: 'weigh' } }];
  const withTools = promptTokens(JSON.stringify({ messages, tools }));
  expect(withTools).toBe(bare + JSON.stringify(tools).length / 4);
});
