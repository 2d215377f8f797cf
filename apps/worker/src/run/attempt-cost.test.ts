import { describe, expect, it } from 'vitest';
import { createJournalRig } from './journal.fixture.ts';
import { chunk, fault } from '../continuation/history.fixture.ts';
import { costOf, costOfCancelled, sentIn } from './attempt-cost.ts';
import type { OutputGate } from './output-gate.ts';

const broken = { kind: 'fault', fault: fault('upstream_reset') } as const;
const usage = { prompt_tokens: 100, completion_tokens: 3, total_tokens: 103 };

describe('what an attempt cost that broke off', () => {
  const openGate = () => createJournalRig().open();
  const work = ({ sent, reported }: OutputGate) => ({ sent, reported, asked: () => 17.5 });
  const usageChunk = (usage: object) => JSON.stringify({ choices: [], usage });

  it('is what its upstream told of it', () => {
    const { gate, chunk } = openGate();
    chunk({ role: 'assistant', content: 'Hello' });
    gate.sink.usage(usageChunk(usage));
    expect(costOf(work(gate), broken, 'completed')).toEqual({ outcome: 'upstream_reset', usage });
  });

  it('is what was told before, and what came after that', () => {
    const { gate, chunk } = openGate();
    chunk({ role: 'assistant', content: 'a' });
    gate.sink.usage(usageChunk(usage));
    chunk({ content: 'a'.repeat(40) });
    expect(costOf(work(gate), broken, 'completed')).toEqual({
      outcome: 'upstream_reset',
      usage: { prompt_tokens: 100, completion_tokens: 13, total_tokens: 113 },
      estimated: 'completion',
    });
  });

  it('is the larger count where the first one came ahead of the answer', () => {
    for (const [letters, completion] of [
      [40, 10],
      [4, 3],
    ] as const) {
      const { gate, chunk } = openGate();
      gate.sink.usage(usageChunk(usage));
      chunk({ role: 'assistant', content: 'a'.repeat(letters) });
      expect(costOf(work(gate), broken, 'completed')).toMatchObject({
        usage: {
          prompt_tokens: 100,
          completion_tokens: completion,
          total_tokens: 100 + completion,
        },
        estimated: 'completion',
      });
    }
  });

  it('is an estimate of what it was asked and of what it sent, where its upstream told nothing', () => {
    const { gate, chunk } = openGate();
    chunk({ role: 'assistant', content: '河水推动水轮' });
    expect(costOf(work(gate), broken, 'completed')).toEqual({
      outcome: 'upstream_reset',
      usage: { prompt_tokens: 18, completion_tokens: 6, total_tokens: 24 },
      estimated: 'all',
    });
  });

  it('is what it was asked, where it was called off before it had sent anything', () => {
    const usage = { prompt_tokens: 18, completion_tokens: 0, total_tokens: 18 };
    const cost = { outcome: 'superseded', usage, estimated: 'all' };
    expect(costOf(work(openGate().gate), { kind: 'superseded' }, 'completed')).toEqual(cost);
    expect(costOfCancelled(work(openGate().gate), 'superseded')).toEqual(cost);
  });

  it('is nothing where nothing came', () => {
    expect(costOf(work(openGate().gate), broken, 'completed')).toEqual({
      outcome: 'upstream_reset',
    });
  });
});

it.each([
  [{ content: 'four' }, 1, 0],
  [{ refusal: 'four' }, 1, 0],
  [{ reasoning_content: 'four', reasoning: 'four' }, 1, 1],
  [{ content: 'four', reasoning: 'four' }, 2, 1],
  [{ tool_calls: [{ index: 0, function: { name: 'ab', arguments: '{}' } }] }, 1, 0],
  [{ tool_calls: [{ index: 0, custom: { name: 'ab', input: 'cd' } }] }, 1, 0],
  [{ function_call: { name: 'ab', arguments: '{}' } }, 1, 0],
  [{ role: 'assistant', content: '' }, 0, 0],
  [{ content: [{ type: 'text' }], tool_calls: [null, 1] }, 0, 0],
])('the estimated tokens of %j are %d, and %d of them reasoning', (delta, tokens, reasoning) => {
  expect(sentIn(chunk(delta))).toEqual({ tokens, reasoning });
});
