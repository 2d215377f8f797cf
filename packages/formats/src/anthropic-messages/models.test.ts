import { describe, expect, it } from 'vitest';
import { capabilitiesOf, traitsOf } from './models.ts';

const older = [
  'claude-3-haiku-20240307',
  'claude-3-5-sonnet-20241022',
  'claude-3-7-sonnet-latest',
  'claude-opus-4-20250514',
  'claude-sonnet-4@20250514',
  'claude-opus-4-1-20250805',
  'claude-sonnet-4-5',
  'claude-haiku-4-5-20251001',
  'us.anthropic.claude-opus-4-5-20251101-v1:0',
  'anthropic/claude-sonnet-4.5',
];

const newer = [
  'claude-opus-4-6',
  'claude-sonnet-4-6',
  'anthropic/claude-sonnet-4.6',
  'claude-opus-4-7',
  'claude-opus-4-8',
  'claude-mythos-preview',
  'claude-opus-5',
  'claude-sonnet-5-5',
  'claude-haiku-5-5',
  'claude-fable-5-2',
  'claude-opus-12-20301231',
  'claude-opus-latest',
  'deepseek-chat',
];

describe('the models of Anthropic', () => {
  it.each(older)('%s goes on from a beginning of its answer', (model) => {
    expect(traitsOf(model).prefill).toBe(true);
  });

  it.each(newer)('%s does not go on from a beginning of its answer', (model) => {
    expect(traitsOf(model).prefill).toBe(false);
  });

  it.each([
    ['claude-3-haiku-20240307', 'both', 'none', 4096],
    ['claude-3-5-haiku-20241022', 'both', 'none', 8192],
    ['claude-3-7-sonnet-20250219', 'both', 'budget', 64_000],
    ['claude-opus-4-20250514', 'both', 'budget', 32_000],
    ['claude-opus-4-1-20250805', 'one', 'budget', 32_000],
    ['claude-sonnet-4-5', 'one', 'budget', 64_000],
    ['claude-opus-4-6', 'one', 'adaptive', 128_000],
    ['claude-opus-4-7', 'none', 'adaptive', 128_000],
    ['claude-sonnet-5', 'none', 'adaptive', 128_000],
    ['glm-5', 'both', 'budget', undefined],
  ])('%s takes sampling %s and thinking %s', (model, sampling, thinking, maxTokens) => {
    expect(traitsOf(model)).toMatchObject({ sampling, thinking, maxTokens });
  });

  it.each([
    ['claude-opus-4-8', 'unasked', true],
    ['claude-mythos-preview', 'never', true],
    ['claude-opus-5', 'disabled', true],
    ['claude-fable-5', 'never', true],
    ['claude-fable-5-1', 'never', false],
    ['claude-opus-5-5', 'never', false],
    ['claude-sonnet-5-5', 'between_tools', false],
    ['claude-haiku-5-5', 'disabled', true],
  ])('%s is kept from thinking by %s, and forced to a tool: %s', (model, thinkingOff, forced) => {
    expect(traitsOf(model)).toMatchObject({ thinkingOff, forcedTools: forced });
  });
});

it('what a model can do is known of Claude only', () => {
  expect(capabilitiesOf('claude-sonnet-4-5')).toEqual({
    serves: ['chat'],
    maxOutputTokens: 64_000,
    input: ['text', 'image', 'file'],
    output: ['text'],
    tools: true,
    structuredOutput: true,
    reasoning: true,
    prefill: true,
  });
  expect(capabilitiesOf('claude-3-haiku-20240307')).toMatchObject({
    input: ['text', 'image'],
    structuredOutput: false,
    reasoning: false,
  });
  for (const model of ['claude-2.1', 'deepseek-chat']) {
    expect(capabilitiesOf(model)).toEqual({ serves: ['chat'] });
  }
});
