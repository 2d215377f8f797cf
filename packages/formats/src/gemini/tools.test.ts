import { describe, expect, it } from 'vitest';
import { refusal, translate, weather } from './request.fixture.ts';

const clock = { type: 'function', function: { name: 'clock', strict: true } };
const declared = [
  {
    name: 'weather',
    description: 'Says the weather.',
    parametersJsonSchema: weather.function.parameters,
  },
  { name: 'clock' },
];
const toolsOf = (request: Record<string, unknown>) => {
  const { tools, toolConfig } = translate({ tools: [weather, clock], ...request });
  return { tools, toolConfig };
};
const configured = (config: Record<string, unknown>) => ({ functionCallingConfig: config });

describe('tools for Gemini', () => {
  it('are declared together, with their JSON schemas', () => {
    expect(toolsOf({})).toEqual({
      tools: [{ functionDeclarations: declared }],
      toolConfig: undefined,
    });
    expect(toolsOf({ tool_choice: 'auto' })).toEqual(toolsOf({}));
  });

  it.each([
    ['none', { mode: 'NONE' }],
    ['required', { mode: 'ANY' }],
    [
      { type: 'function', function: { name: 'clock' } },
      { mode: 'ANY', allowedFunctionNames: ['clock'] },
    ],
    [
      {
        type: 'allowed_tools',
        allowed_tools: {
          mode: 'required',
          tools: [{ type: 'function', function: { name: 'clock' } }],
        },
      },
      { mode: 'ANY', allowedFunctionNames: ['clock'] },
    ],
  ])('with the choice %j', (tool_choice, config) => {
    expect(toolsOf({ tool_choice })).toEqual({
      tools: [{ functionDeclarations: declared }],
      toolConfig: configured(config),
    });
  });

  it('of which some may be called are the only ones declared', () => {
    const allowed_tools = { mode: 'auto', tools: [{ type: 'function', name: 'clock' }] };
    expect(toolsOf({ tool_choice: { type: 'allowed_tools', allowed_tools } })).toEqual({
      tools: [{ functionDeclarations: [{ name: 'clock' }] }],
      toolConfig: undefined,
    });
  });

  it('may be Google’s own', () => {
    expect(toolsOf({ tools: [{ googleSearch: {} }, clock] }).tools).toEqual([
      { functionDeclarations: [{ name: 'clock' }] },
      { googleSearch: {} },
    ]);
    expect(toolsOf({ tools: [{ code_execution: {} }] }).tools).toEqual([{ code_execution: {} }]);
  });

  it.each([
    [{ parallel_tool_calls: false }, 'parallel_tool_calls', 'unsupported_parameter'],
    [{ tool_choice: 'any' }, 'tool_choice', 'unsupported_value'],
    [{ tools: [{ type: 'custom', custom: {} }] }, 'tools[0].type', 'unsupported_value'],
    [{ tools: [{ type: 'function' }] }, 'tools[0].function.name', 'invalid_value'],
    [{ tools: {} }, 'tools', 'invalid_value'],
  ])('are refused with %j', (request, ...expected) => {
    expect(refusal({ tools: [weather], ...request })).toEqual(expected);
  });

  it('that may not be called have no order of calls', () => {
    expect(refusal({ tools: [weather], tool_choice: 'none', parallel_tool_calls: false })).toEqual(
      [],
    );
    expect(refusal({ parallel_tool_calls: false })).toEqual([]);
  });
});
