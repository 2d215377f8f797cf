import { describe, expect, it } from 'vitest';
import { createHeard } from './journal.fixture.ts';
import { chunk, fault } from '../continuation/history.fixture.ts';
import { costOf, costOfCalledOff, sentIn } from './ledger.ts';
import type { Voice } from './output-gate.ts';

const broken = { kind: 'fault', fault: fault('upstream_reset') } as const;
const usage = { prompt_tokens: 100, completion_tokens: 3, total_tokens: 103 };

describe('what an attempt cost that broke off', () => {
  const speaker = () => createHeard().open();
  const work = ({ sent, told }: Voice) => ({ sent, told, asked: () => 17.5 });
  const tell = (told: object) => JSON.stringify({ choices: [], usage: told });

  it('is what its upstream told of it', () => {
    const { voice, say } = speaker();
    say({ role: 'assistant', content: 'Hello' });
    voice.sink.usage(tell(usage));
    expect(costOf(work(voice), broken, 'completed')).toEqual({ outcome: 'upstream_reset', usage });
  });

  it('is what was told before, and what came after that', () => {
    const { voice, say } = speaker();
    say({ role: 'assistant', content: 'a' });
    voice.sink.usage(tell(usage));
    say({ content: 'a'.repeat(40) });
    expect(costOf(work(voice), broken, 'completed')).toEqual({
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
      const { voice, say } = speaker();
      voice.sink.usage(tell(usage));
      say({ role: 'assistant', content: 'a'.repeat(letters) });
      expect(costOf(work(voice), broken, 'completed')).toMatchObject({
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
    const { voice, say } = speaker();
    say({ role: 'assistant', content: '河水推动水轮' });
    expect(costOf(work(voice), broken, 'completed')).toEqual({
      outcome: 'upstream_reset',
      usage: { prompt_tokens: 18, completion_tokens: 6, total_tokens: 24 },
      estimated: 'all',
    });
  });

  it('is what it was asked, where it was called off before it had sent anything', () => {
    const usage = { prompt_tokens: 18, completion_tokens: 0, total_tokens: 18 };
    const cost = { outcome: 'superseded', usage, estimated: 'all' };
    expect(costOf(work(speaker().voice), { kind: 'superseded' }, 'completed')).toEqual(cost);
    expect(costOfCalledOff(work(speaker().voice), 'superseded')).toEqual(cost);
  });

  it('is nothing where nothing came', () => {
    expect(costOf(work(speaker().voice), broken, 'completed')).toEqual({
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
