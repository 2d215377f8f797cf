import { expect, test } from 'vitest';
import { nativeRequest } from './native-request.ts';

const user = { role: 'user', content: 'hi' };

function sent(
  body: object,
  turns: Parameters<typeof nativeRequest>[0]['turns'] = [],
  limit = 4096,
) {
  const call = { model: 'target', prefill: false, body: JSON.stringify({ max_tokens: limit }) };
  const text = JSON.stringify({ model: 'alias', max_tokens: 4096, ...body });
  const request = nativeRequest({ body: text, turns }, call);
  return { ...request, body: JSON.parse(request.body) as Record<string, unknown> };
}

test('a request without traces of other vendors changes nothing but its model, byte for byte', () => {
  const body =
    '{"model":"a","max_tokens":1.0,"future":{"x":12345678901234567890},"messages":[{"role":"user","content":"hi"}]}';
  const call = { model: 'b', prefill: false, body: '{}' };
  expect(nativeRequest({ body, turns: [] }, call).body).toBe(body.replace('"a"', '"b"'));
});

test('unsigned thoughts are dropped, with a turn that had nothing else, and foreign ids are cleaned', () => {
  const { body } = sent({
    messages: [
      user,
      { role: 'assistant', content: [{ type: 'thinking', thinking: 'x', signature: '' }] },
      user,
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'x', signature: '' },
          { type: 'tool_use', id: 'functions.bash:0', name: 'bash', input: {} },
        ],
      },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'functions.bash:0' }] },
    ],
  });
  expect(body['messages']).toEqual([
    user,
    user,
    {
      role: 'assistant',
      content: [{ type: 'tool_use', id: 'functions_bash_0', name: 'bash', input: {} }],
    },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'functions_bash_0' }] },
  ]);
});

const thinking = { type: 'enabled', budget_tokens: 4000 };

test('a budget for thoughts is dropped where Anthropic would reject it', () => {
  const calls = {
    role: 'assistant',
    content: [{ type: 'tool_use', id: 'a', name: 'b', input: {} }],
  };
  expect(sent({ thinking, messages: [user, calls, user] }).body).not.toHaveProperty('thinking');
  const thought = { type: 'thinking', thinking: 'x', signature: 's' };
  const signed = { ...calls, content: [thought, ...calls.content] };
  expect(sent({ thinking, messages: [user, signed, user] }).body).toMatchObject({ thinking });
  const turns = [{ role: 'assistant' as const, content: 'so far' }];
  expect(sent({ thinking, messages: [user] }, turns, 3596).body).not.toHaveProperty('thinking');
});

test('beta features become a header', () => {
  const { headers, body } = sent({ messages: [user], anthropic_beta: ['a-1', 'b\nx', 'c'] });
  expect(headers).toEqual({ 'anthropic-beta': 'a-1,c' });
  expect(body).not.toHaveProperty('anthropic_beta');
});
