import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Simulator } from './index.ts';
import { expectedArguments, expectedReasoning, expectedText, startSimulator } from './index.ts';

let simulator: Simulator;
let client: Anthropic;
beforeAll(async () => {
  simulator = await startSimulator({ apiKey: 'sk-test' });
  client = new Anthropic({ baseURL: simulator.url, apiKey: 'sk-test', maxRetries: 0 });
});
afterAll(() => simulator.close());

const asked = { max_tokens: 1000, messages: [{ role: 'user' as const, content: 'hello' }] };
const tools = [{ name: 'weather', input_schema: { type: 'object' as const } }];

describe('the official @anthropic-ai/sdk package', () => {
  it('assembles a healthy stream, with usage', async () => {
    const model = 'healthy:tokens=25,unicode=1,pace=1';
    const answer = await client.messages.stream({ ...asked, model }).finalMessage();
    expect(answer).toMatchObject({
      model,
      content: [{ type: 'text', text: expectedText({ tokens: 25, unicode: 1 }) }],
      stop_reason: 'end_turn',
      usage: { input_tokens: 5, output_tokens: 25 },
    });
  });

  it('assembles thinking and parallel tool calls', async () => {
    const model = 'tools:calls=3,reasoning=5';
    const answer = await client.messages.stream({ ...asked, model, tools }).finalMessage();
    expect(answer).toMatchObject({
      content: [
        {
          type: 'thinking',
          thinking: expectedReasoning(5).join(''),
          signature: Buffer.from('simulated signature').toString('base64'),
        },
        ...[0, 1, 2].map((call) => ({
          type: 'tool_use',
          name: 'weather',
          input: JSON.parse(expectedArguments(call, 8)),
        })),
      ],
      stop_reason: 'tool_use',
    });
    expect(new Set(answer.content.map((block) => 'id' in block && block.id)).size).toBe(4);
  });

  it('reads an answer without stream, and a refusal', async () => {
    const answer = await client.messages.create({ ...asked, model: 'healthy:tokens=4' });
    expect(answer).toMatchObject({
      content: [{ type: 'text', text: expectedText({ tokens: 4 }) }],
      _request_id: expect.stringMatching(/^req_sim_/u),
    });
    const refusal = await client.messages.stream({ ...asked, model: 'refusal' }).finalMessage();
    expect(refusal).toMatchObject({ stop_reason: 'refusal', stop_details: { type: 'refusal' } });
  });

  it('raises the simulated errors as its own', async () => {
    const create = (model: string) => client.messages.create({ ...asked, model }).asResponse();
    await expect(create('s02')).rejects.toBeInstanceOf(Anthropic.RateLimitError);
    await expect(create('status')).rejects.toMatchObject({ status: 529, type: 'overloaded_error' });
    await expect(create('s12')).rejects.toMatchObject({
      status: 400,
      type: 'invalid_request_error',
      requestID: expect.stringMatching(/^req_sim_/u),
    });
    await expect(create('claude-opus-4-1')).rejects.toBeInstanceOf(Anthropic.NotFoundError);
    await expect(create('s05')).rejects.toBeInstanceOf(Anthropic.APIConnectionError);
    const stranger = new Anthropic({ baseURL: simulator.url, apiKey: 'sk-x', maxRetries: 0 });
    await expect(
      stranger.messages.create({ ...asked, model: 'healthy' }).asResponse(),
    ).rejects.toBeInstanceOf(Anthropic.AuthenticationError);
  });

  it('raises an error in mid-stream, after the text that came before it', async () => {
    const stream = client.messages.stream({ ...asked, model: 'error-event:after=7,pace=1' });
    let text = '';
    stream.on('text', (piece) => (text += piece));
    await expect(stream.finalMessage()).rejects.toMatchObject({ type: 'overloaded_error' });
    expect(text).toBe(expectedText({ tokens: 7 }));
  });
});
