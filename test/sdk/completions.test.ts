import OpenAI from 'openai';
import type { Completion } from 'openai/resources/completions';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { readEvents, viewJob } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, jsonOf } from '../kit/http.ts';

// OpenAI's SDK as a client of /v1/completions, over a provider with such an API and over one with chats only: whichever of them
// answers, or continues an answer that the other one began, the SDK reads one answer.

type Kind = 'own' | 'chat';
const kinds = ['own', 'chat'] as const;
const target = (role: 'primary' | 'backup', kind: Kind, model: string, more: object = {}) => ({
  provider: kind === 'own' ? `${role}-completions` : role,
  model,
  ...more,
});
const alone = (kind: Kind, model: string) => ({ targets: [target('primary', kind, model)] });
const continued = (kind: Kind, next: Kind) => ({
  targets: [
    target('primary', kind, 'cut:after=40'),
    // What is said of the model's chats does not matter for its Completions API.
    target('backup', next, 'prefill', { prefill: next === 'chat' }),
  ],
});
const modelsOf = (kind: Kind) => ({
  text: alone(kind, 'healthy:tokens=30'),
  'cut-own': continued(kind, 'own'),
  'cut-chat': continued(kind, 'chat'),
  broken: alone(kind, 'error-event:after=5'),
  rejected: alone(kind, 'status:code=400'),
});

let fleet: Fleet;
let client: OpenAI;
beforeAll(async () => {
  const models = Object.fromEntries(
    kinds.flatMap((kind) =>
      Object.entries(modelsOf(kind)).map(([name, model]) => [`${kind}-${name}`, model]),
    ),
  );
  const messages = { targets: [{ provider: 'primary-anthropic', model: 'healthy:tokens=30' }] };
  fleet = await startFleet({ models: { ...models, messages } });
  client = new OpenAI({ baseURL: `${fleet.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
afterAll(() => fleet.close());

async function stream(
  model: string,
  more: Partial<OpenAI.CompletionCreateParamsStreaming> = {},
): Promise<Completion[]> {
  const chunks: Completion[] = [];
  const asked = { model, prompt: 'Once', stream: true, ...more } as const;
  for await (const chunk of await client.completions.create(asked)) chunks.push(chunk);
  return chunks;
}
const textOf = (chunks: readonly Completion[]) =>
  chunks.flatMap(({ choices }) => choices.map(({ text }) => text)).join('');
const endsOf = (chunks: readonly Completion[]) =>
  chunks.flatMap(({ choices }) => choices.flatMap(({ finish_reason: end }) => end ?? []));
const post = (body: object) => call(`${fleet.url}/v1/completions`, { body });

describe.each(kinds)('over a provider with an API of the kind "%s"', (kind) => {
  it('a stream has the text, one end, one identity, and the usage if it is asked for', async () => {
    const chunks = await stream(`${kind}-text`);
    expect(textOf(chunks)).toBe(expectedText({ tokens: 30 }));
    expect(endsOf(chunks)).toEqual(['stop']);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks[0]).toMatchObject({
      id: expect.stringMatching(/^cmpl-/),
      object: 'text_completion',
      choices: [{ index: 0, logprobs: null, finish_reason: null }],
    });
    expect(chunks.every(({ usage }) => !usage)).toBe(true);
    const counted = await stream(`${kind}-text`, { stream_options: { include_usage: true } });
    expect(counted.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 30 } });
  });

  it('an answer that is not streamed has the same content', async () => {
    const { choices, usage, ...answer } = await client.completions.create({
      model: `${kind}-text`,
      prompt: ['Once'],
      n: 2,
      best_of: 2,
    });
    expect(answer).toMatchObject({
      object: 'text_completion',
      id: expect.stringMatching(/^cmpl-/),
    });
    expect(choices).toMatchObject(
      [0, 1].map((choice) => ({
        index: choice,
        text: expectedText({ tokens: 30, choice }),
        finish_reason: 'stop',
      })),
    );
    expect(usage).toMatchObject({ completion_tokens: 60 });
  });

  it('logprobs have the form of this API', async () => {
    const chunks = await stream(`${kind}-text`, { logprobs: 1 });
    const all = chunks.flatMap(({ choices }) => choices.flatMap(({ logprobs }) => logprobs ?? []));
    const tokens = all.flatMap(({ tokens: own = [] }) => own);
    expect(tokens.join('')).toBe(expectedText({ tokens: 30 }));
    expect(all.flatMap(({ token_logprobs: own = [] }) => own)).toEqual(tokens.map(() => -0.125));
    expect(all.flatMap(({ text_offset: own = [] }) => own)).toEqual(
      tokens.map((_, at) => tokens.slice(0, at).join('').length),
    );
  });

  it.each(kinds)('an answer that breaks off is continued by one of the kind "%s"', async (next) => {
    const question = `Once ${crypto.randomUUID()}`;
    const chunks = await stream(`${kind}-cut-${next}`, { prompt: question, max_tokens: 500 });
    expect(textOf(chunks)).toBe(expectedText({ tokens: 60 }));
    expect(endsOf(chunks)).toEqual(['stop']);
    const asked = fleet.backup.requests.findLast(({ rawBody }) => rawBody.includes(question));
    const {
      prompt,
      messages,
      max_tokens: most,
    } = JSON.parse(asked?.rawBody ?? '{}') as {
      prompt?: string;
      messages?: object[];
      max_tokens?: number;
    };
    const begun = expectedText({ tokens: 40 });
    expect(prompt ?? messages).toEqual(
      next === 'own'
        ? question + begun
        : [
            { role: 'user', content: question },
            { role: 'assistant', content: begun },
          ],
    );
    expect(most).toBeLessThan(500);
  });

  it('an answer that nothing can continue ends with an error', async () => {
    await expect(stream(`${kind}-broken`)).rejects.toThrow(OpenAI.APIError);
  });

  it('an error of the provider has its status', async () => {
    await expect(stream(`${kind}-rejected`)).rejects.toThrow(OpenAI.BadRequestError);
  });

  it('a job has its chunks and its result in this form', async () => {
    const body = { model: `${kind}-text`, prompt: 'Once', stream: true };
    const made = await call(`${fleet.url}/v1/jobs`, {
      body: { endpoint: '/v1/completions', body },
    });
    const { id } = jsonOf(made) as { id: string };
    const { events } = await readEvents(fleet.url, id).ended;
    const chunks = events
      .filter(({ event }) => event === 'chunk')
      .map(({ data }) => JSON.parse(data) as Completion);
    expect(textOf(chunks)).toBe(expectedText({ tokens: 30 }));
    const view = await viewJob(fleet.url, id);
    expect(view).toMatchObject({ result: { choices: [{ text: expectedText({ tokens: 30 }) }] } });
  });
});

it('a request reaches such a provider as it is, and others as a chat', async () => {
  const prompt = `Once ${crypto.randomUUID()}`;
  const more = { top_k: 5, seed: 1 };
  for (const model of ['own-text', 'chat-text']) await post({ model, prompt, ...more });
  const seen = fleet.primary.requests.filter(({ rawBody }) => rawBody.includes(prompt));
  expect(seen.map(({ rawBody }) => JSON.parse(rawBody) as object)).toEqual([
    { model: 'healthy:tokens=30', prompt, ...more },
    { model: 'healthy:tokens=30', messages: [{ role: 'user', content: prompt }], ...more },
  ]);
  const other = await post({ model: 'messages', prompt });
  expect(jsonOf(other)).toMatchObject({ choices: [{ text: expectedText({ tokens: 30 }) }] });
});

it('a suffix needs such a provider', async () => {
  const body = { prompt: 'Once', suffix: 'The end.' };
  expect((await post({ model: 'own-text', ...body })).status).toBe(200);
  const answer = await post({ model: 'chat-text', ...body });
  expect([answer.status, jsonOf(answer)]).toMatchObject([400, { error: { param: 'suffix' } }]);
});

it.each([
  [{ prompt: undefined }, 'prompt'],
  [{ prompt: ['a', 'b'] }, 'prompt'],
  [{ prompt: [1, 2] }, 'prompt'],
  [{ prompt: [[1, 2]] }, 'prompt'],
  [{ echo: true }, 'echo'],
  [{ best_of: 2 }, 'best_of'],
  [{ logprobs: 'all' }, 'logprobs'],
  [{ stream: 1 }, 'stream'],
  [{ stream_options: {} }, 'stream_options'],
  [{ model: undefined }, 'model'],
])('%j is refused, with the member at fault', async (more, param) => {
  const answer = await post({ model: 'own-text', prompt: 'Once', ...more });
  expect(answer.status).toBe(400);
  expect(jsonOf(answer)).toMatchObject({ error: { type: 'invalid_request_error', param } });
});
