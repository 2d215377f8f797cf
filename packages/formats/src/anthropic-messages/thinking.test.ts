import { describe, expect, it } from 'vitest';
import { callOf, refusal, translate, user, weather } from './request.fixture.ts';

describe('thinking', () => {
  const enabled = (budget: number) => ({ type: 'enabled', budget_tokens: budget });
  const adaptive = { type: 'adaptive', display: 'summarized' };

  it.each([
    ['claude-sonnet-4-5', 'minimal', enabled(1024), undefined],
    ['claude-sonnet-4-5', 'high', enabled(16_000), undefined],
    ['claude-3-5-haiku-20241022', 'high', undefined, undefined],
    ['claude-opus-4-6', 'minimal', adaptive, 'low'],
    ['claude-opus-4-6', 'xhigh', adaptive, 'high'],
    ['claude-opus-4-7', 'xhigh', adaptive, 'xhigh'],
    ['claude-opus-5', 'max', adaptive, 'max'],
    ['claude-sonnet-4-5', 'none', undefined, undefined],
    ['claude-opus-4-8', 'none', undefined, undefined],
    ['claude-opus-5', 'none', { type: 'disabled' }, undefined],
    ['claude-sonnet-5-5', 'none', { type: 'between_tools' }, undefined],
    ['claude-fable-5', 'none', undefined, 'low'],
  ])('of %s with effort %s', (model, effort, thinking, expected) => {
    const translated = translate({ reasoning_effort: effort }, { model });
    expect(translated.thinking).toEqual(thinking);
    expect(translated.output_config?.effort).toBe(expected);
  });

  it('leaves half of the tokens to the answer, or does not think', () => {
    expect(translate({ reasoning_effort: 'high', max_tokens: 4000 }).thinking).toEqual(
      enabled(2000),
    );
    expect(translate({ reasoning_effort: 'high', max_tokens: 2000 }).thinking).toBeUndefined();
  });

  it('does not go with a tool that must be called, nor with calls whose thoughts are gone', () => {
    const tools = { tools: [weather], reasoning_effort: 'low' };
    expect(translate({ ...tools, tool_choice: 'required' }).thinking).toBeUndefined();
    const loop = (more: Record<string, unknown>) => [
      user,
      { role: 'assistant', tool_calls: [callOf('a')], ...more },
      { role: 'tool', tool_call_id: 'a', content: 'Sun.' },
    ];
    expect(translate({ ...tools, messages: loop({}) }).thinking).toBeUndefined();
    const thinking_blocks = [{ type: 'thinking', thinking: 'hm', signature: 's', index: 0 }];
    const kept = translate({ ...tools, messages: loop({ thinking_blocks }) });
    expect(kept.thinking).toEqual(enabled(2048));
    expect(kept.messages[1]!.content).toMatchObject([
      { type: 'thinking', thinking: 'hm', signature: 's' },
      { type: 'tool_use' },
    ]);
  });

  it("passes the caller's own", () => {
    const translated = translate({
      thinking: enabled(5000),
      output_config: { effort: 'low' },
      reasoning_effort: 'high',
    });
    expect(translated).toMatchObject({ thinking: enabled(5000), output_config: { effort: 'low' } });
  });

  it('knows no other effort', () => {
    expect(refusal({ reasoning_effort: 'extreme' })).toEqual([
      'reasoning_effort',
      'unsupported_value',
    ]);
  });
});
