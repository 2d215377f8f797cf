import { expect, it } from 'vitest';
import { echoOf, fromInnerUsage, responseOf } from './response.ts';

const answer = (body: object) => ({
  id: 'req_0_x',
  model: 'm',
  createdAt: 0,
  echo: echoOf(body as Record<string, unknown>),
});

it('a response has every member of a function that its request left out', () => {
  const given = { type: 'function', name: 'look', strict: true };
  const other = { type: 'custom', name: 'say' };
  const { tools } = responseOf(answer({ tools: [given, other] }), { status: 'in_progress' });
  expect(tools).toEqual([{ description: null, parameters: null, ...given }, other]);
  expect(responseOf(answer({}), { status: 'in_progress' })['tools']).toEqual([]);
});

it('the usage of any provider has the counts of a cache', () => {
  expect(fromInnerUsage({ prompt_tokens: 1, completion_tokens: 2 })).toMatchObject({
    input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
    total_tokens: 3,
  });
});

it('reasoning that a provider counts beside the completion is output', () => {
  const usage = {
    prompt_tokens: 10,
    completion_tokens: 50,
    total_tokens: 100,
    completion_tokens_details: { reasoning_tokens: 40 },
  };
  expect(fromInnerUsage(usage)).toMatchObject({
    output_tokens: 90,
    output_tokens_details: { reasoning_tokens: 40 },
    total_tokens: 100,
  });
});
