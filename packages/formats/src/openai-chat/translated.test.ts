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
