import { describe, expect, it } from 'vitest';
import { plainTraits } from './history.fixture.ts';
import { readTraits } from './traits.ts';

const traits = (request: object) => readTraits(JSON.stringify(request));

describe('the traits of a request', () => {
  it('are plain where it asks for nothing special', () => {
    const messages = [{ role: 'user', content: 'Hi' }];
    expect(traits({ model: 'm', messages })).toEqual(plainTraits);
  });

  it.each([
    [{ tools: [{ type: 'function' }] }, { tools: true }],
    [{ functions: [{ name: 'f' }] }, { tools: true }],
    [{ tools: [] }, { tools: false }],
    [{ tools: null }, { tools: false }],
    [{ reasoning_effort: 'low' }, { thinking: true }],
    [{ reasoning_effort: 'none' }, { thinking: false }],
    [{ thinking: { type: 'enabled', budget_tokens: 2000 } }, { thinking: true }],
    [{ thinking: { type: 'disabled' } }, { thinking: false }],
    [{ reasoning: { max_tokens: 2000 } }, { thinking: true }],
    [{ reasoning: { enabled: false } }, { thinking: false }],
    [{ response_format: { type: 'json_object' } }, { json: true }],
    [{ response_format: { type: 'json_schema', json_schema: {} } }, { json: true }],
    [{ response_format: { type: 'text' } }, { json: false }],
    [{ response_format: null }, { json: false }],
    [{ temperature: 0 }, { repeats: true }],
    [{ temperature: 0.1 }, { repeats: false }],
    [{ seed: 0 }, { repeats: true }],
    [{ seed: null }, { repeats: false }],
    [{ n: 3 }, { choices: 3 }],
    [{ n: null }, { choices: 1 }],
    [{ n: 0 }, { choices: 1 }],
    [{ n: 1.5 }, { choices: 1 }],
    [{ messages: [{ role: 'assistant', content: 'Well,' }] }, { endsWithAssistant: true }],
    [{ messages: [{ role: 'assistant' }, { role: 'user' }] }, { endsWithAssistant: false }],
    [{ messages: [] }, { endsWithAssistant: false }],
  ])('of %j: %j', (request, expected) => {
    expect(traits(request)).toEqual({ ...plainTraits, ...expected });
  });
});
