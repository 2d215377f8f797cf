import { expect, test } from 'vitest';
import { adaptTranslated } from './translated.ts';

const body = '{"model":"m","max_tokens":5,"reasoning_effort":"low","messages":[]}';
const adapted = (baseUrl: string, model: string) =>
  JSON.parse(adaptTranslated({ body, baseUrl, model })) as object;

test('OpenAI gets the limit under its newer name, and an effort only for models that reason', () => {
  const limit = { model: 'm', max_completion_tokens: 5, messages: [] };
  expect(adapted('https://api.openai.com/v1', 'gpt-5.2')).toEqual({
    ...limit,
    reasoning_effort: 'low',
  });
  expect(adapted('https://x.openai.azure.com/openai/v1', 'gpt-4o')).toEqual(limit);
});

test('other providers get the body as it was translated', () => {
  expect(adapted('https://api.groq.com/openai/v1', 'gpt-4')).toEqual(JSON.parse(body));
  expect(adapted('https://openai.com.example/v1', 'gpt-4')).toEqual(JSON.parse(body));
});

test('what another vendor signed in earlier turns reaches only that vendor', () => {
  const call = { id: 'a', type: 'function', function: { name: 'f', arguments: '{"n":1.0}' } };
  const google = { extra_content: { google: { thought_signature: 'c2ln' } } };
  const details = { reasoning_details: [{ type: 'reasoning.encrypted', data: 'x' }] };
  const plain = { role: 'assistant', content: 'Once', tool_calls: [call] };
  const signed = { ...plain, ...google, ...details, tool_calls: [{ ...call, ...google }] };
  const user = { role: 'user', content: 'the "extra_content" of a message' };
  const messagesAt = (baseUrl: string, model: string) => {
    const asked = JSON.stringify({ messages: [user, signed], max_tokens: 5 });
    const adapted = adaptTranslated({ body: asked, baseUrl, model });
    return (JSON.parse(adapted) as { messages: object[] }).messages;
  };
  for (const host of ['api.openai.com', 'api.groq.com', 'openrouter.ai.example', '127.0.0.1']) {
    expect(messagesAt(`https://${host}/v1`, 'gpt-5')).toEqual([user, plain]);
  }
  const ofGoogle = { ...plain, ...google, tool_calls: [{ ...call, ...google }] };
  const url = 'https://generativelanguage.googleapis.com/v1beta/openai';
  expect(messagesAt(url, 'x')).toEqual([user, ofGoogle]);
  expect(messagesAt('https://gateway.example/v1', 'google/gemini-3-pro')).toEqual([user, ofGoogle]);
  const ofRouter = { ...plain, ...details };
  expect(messagesAt('https://openrouter.ai/api/v1', 'openai/gpt-5')).toEqual([user, ofRouter]);
});
