import { describe, expect, it } from 'vitest';
import { callOf, refusal, translate, user, weather } from './request.fixture.ts';

describe('tools', () => {
  const choiceOf = (request: Record<string, unknown>) =>
    translate({ tools: [weather], ...request }).tool_choice;

  it('are functions with a schema, strict where model and schema allow it', () => {
    const strict = { ...weather, function: { ...weather.function, strict: true } };
    const open = { type: 'function', function: { name: 'any', strict: true } };
    expect(translate({ tools: [weather, strict, open] }).tools).toEqual([
      {
        name: 'weather',
        description: 'Says the weather.',
        input_schema: weather.function.parameters,
      },
      {
        name: 'weather',
        description: 'Says the weather.',
        strict: true,
        input_schema: { ...weather.function.parameters, additionalProperties: false },
      },
      {
        name: 'any',
        strict: true,
        input_schema: { type: 'object', properties: {}, additionalProperties: false },
      },
    ]);
    expect(translate({ tools: [strict] }, { model: 'claude-3-haiku-20240307' }).tools).toEqual(
      translate({ tools: [weather] }).tools,
    );
  });

  it.each([
    [{}, undefined],
    [{ tool_choice: 'auto' }, undefined],
    [{ tool_choice: 'none' }, { type: 'none' }],
    [{ tool_choice: 'none', parallel_tool_calls: false }, { type: 'none' }],
    [{ tool_choice: 'required' }, { type: 'any' }],
    [{ parallel_tool_calls: false }, { type: 'auto', disable_parallel_tool_use: true }],
    [
      {
        tool_choice: { type: 'function', function: { name: 'weather' } },
        parallel_tool_calls: false,
      },
      { type: 'tool', name: 'weather', disable_parallel_tool_use: true },
    ],
  ])('%j is the choice %j', (request, choice) => {
    expect(choiceOf(request)).toEqual(choice);
  });

  it('are those that the choice allows', () => {
    const other = { type: 'function', function: { name: 'other' } };
    const allowed_tools = { mode: 'required', tools: [other] };
    const translated = translate({
      tools: [weather, other],
      tool_choice: { type: 'allowed_tools', allowed_tools },
    });
    expect(translated.tools).toMatchObject([{ name: 'other' }]);
    expect(translated.tool_choice).toEqual({ type: 'any' });
  });

  it('are listed for a conversation that has calls and no tools, and cannot be called', () => {
    const messages = [
      user,
      { role: 'assistant', tool_calls: [callOf('a')] },
      { role: 'tool', tool_call_id: 'a', content: 'Sun.' },
    ];
    expect(translate({ messages })).toMatchObject({
      tools: [{ name: 'weather', input_schema: { type: 'object' } }],
      tool_choice: { type: 'none' },
    });
  });

  it('of Anthropic itself pass', () => {
    const search = { type: 'web_search_20250305', name: 'web_search', max_uses: 3 };
    expect(translate({ tools: [search] }).tools).toEqual([search]);
  });

  it('are refused where they cannot be said', () => {
    const custom = { type: 'custom', custom: { name: 'x' } };
    expect(refusal({ tools: [weather, custom] })).toEqual(['tools[1].type', 'unsupported_value']);
    const choice = { type: 'custom', custom: { name: 'x' } };
    expect(refusal({ tools: [weather], tool_choice: choice })[0]).toBe('tool_choice');
    const required = { tools: [weather], tool_choice: 'required' };
    expect(refusal(required, 'claude-opus-5-5')[0]).toBe('tool_choice');
    expect(refusal(required, 'claude-opus-5')).toEqual([]);
  });
});
