import { expect, it } from 'vitest';
import { AGENT_SIZES, agentBodies, agentBody } from './agents.ts';

it('of ten bodies six are small, three are middling and one is large', () => {
  const bodyAt = agentBodies('m');
  const sizes = Array.from({ length: 20 }, (_, i) => bodyAt(i).length);
  for (const { bytes, share } of AGENT_SIZES) {
    const near = sizes.filter((size) => Math.abs(size / bytes - 1) < 0.05);
    expect(near).toHaveLength(20 * share);
  }
});

it('a body is a conversation with tools, in which every result belongs to a call', () => {
  const { model, stream, tools, messages } = JSON.parse(agentBody('m', 100_000));
  expect({ model, stream }).toEqual({ model: 'm', stream: true });
  expect(tools[0].function.parameters.type).toBe('object');
  const calls = messages.flatMap(({ tool_calls: each = [] }) =>
    each.map(({ id }: { id: string }) => id),
  );
  const results = messages.flatMap(({ tool_call_id: id }: { tool_call_id?: string }) => id ?? []);
  expect(results).toEqual(calls);
  expect(messages.map(({ role }: { role: string }) => role).slice(0, 3)).toEqual([
    'system',
    'assistant',
    'tool',
  ]);
});
