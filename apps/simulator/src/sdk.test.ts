import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Simulator } from './index.ts';
import { expectedArguments, expectedText, startSimulator } from './index.ts';

let simulator: Simulator;
let client: OpenAI;
beforeAll(async () => {
  simulator = await startSimulator({ apiKey: 'sk-test' });
  client = new OpenAI({ baseURL: `${simulator.url}/v1`, apiKey: 'sk-test', maxRetries: 0 });
});
afterAll(() => simulator.close());

const messages = [{ role: 'user' as const, content: 'hello' }];
const tools = [{ type: 'function' as const, function: { name: 'weather', parameters: {} } }];

describe('the official openai package', () => {
  it('assembles a healthy stream, with usage', async () => {
    const stream = client.chat.completions.stream({
      model: 'healthy:tokens=25,unicode=1',
      messages,
      stream_options: { include_usage: true },
    });
    const answer = await stream.finalChatCompletion();
    expect(answer.choices[0]?.message.content).toBe(expectedText({ tokens: 25, unicode: 1 }));
    expect(answer.usage?.completion_tokens).toBe(25);
  });

  it('assembles parallel tool calls', async () => {
    const stream = client.chat.completions.stream({ model: 'tools:calls=3', messages, tools });
    const answer = await stream.finalChatCompletion();
    const calls = answer.choices[0]?.message.tool_calls?.map((call) =>
      call.type === 'function' ? call.function.arguments : '',
    );
    expect(calls).toEqual([0, 1, 2].map((call) => expectedArguments(call, 8)));
    expect(answer.choices[0]?.finish_reason).toBe('tool_calls');
  });

  it('reads an answer without stream, and one with logprobs and two choices', async () => {
    const answer = await client.chat.completions.create({
      model: 'healthy:tokens=4',
      messages,
      n: 2,
      logprobs: true,
    });
    expect(answer.choices.map(({ message }) => message.content)).toEqual([
      expectedText({ tokens: 4 }),
      expectedText({ tokens: 4, choice: 1 }),
    ]);
    expect(answer.choices[0]?.logprobs?.content?.[2]?.token).toBe(' a');
  });

  it('raises the simulated errors as its own', async () => {
    const ask = (model: string) => client.chat.completions.create({ model, messages }).asResponse();
    await expect(ask('s02')).rejects.toBeInstanceOf(OpenAI.RateLimitError);
    await expect(ask('gpt-4o')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
    await expect(ask('s05')).rejects.toBeInstanceOf(OpenAI.APIConnectionError);
    const stream = await client.chat.completions.create({
      model: 'error-in-chunk:after=2',
      messages,
      stream: true,
    });
    const read = async () => {
      for await (const chunk of stream) expect(chunk.choices).toBeDefined();
    };
    await expect(read()).rejects.toBeInstanceOf(OpenAI.APIError);
  });

  it('lists the models', async () => {
    const models = await client.models.list();
    expect(models.data.map(({ id }) => id)).toContain('healthy');
  });
});
