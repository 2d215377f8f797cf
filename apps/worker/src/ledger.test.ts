import { describe, expect, it } from 'vitest';
import { createHeard } from './answer.fixture.ts';
import { chunk, fault } from './failover/history.fixture.ts';
import { charsIn, costOf } from './ledger.ts';

const broken = { kind: 'fault', fault: fault('upstream_reset') } as const;
const usage = { prompt_tokens: 100, completion_tokens: 3, total_tokens: 103 };

describe('what an attempt cost that broke off', () => {
  const speaker = () => createHeard().open();
  const tell = (told: object) => JSON.stringify({ choices: [], usage: told });

  it('is what its upstream told of it', () => {
    const { voice, say } = speaker();
    say({ role: 'assistant', content: 'Hello' });
    voice.sink.usage(tell(usage));
    expect(costOf(voice, broken, false)).toEqual({ outcome: 'upstream_reset', usage });
  });

  it('is what was told before, and what came after that', () => {
    const { voice, say } = speaker();
    voice.sink.usage(tell(usage));
    say({ role: 'assistant', content: 'a'.repeat(40) });
    expect(costOf(voice, broken, false)).toEqual({
      outcome: 'upstream_reset',
      usage: { prompt_tokens: 100, completion_tokens: 13, total_tokens: 113 },
      estimated: true,
    });
  });

  it('may be told in a chunk of the answer', () => {
    const { voice } = speaker();
    const one = { ...chunk({ role: 'assistant', content: 'Hello' }), usage };
    voice.sink.chunk(JSON.stringify(one), one, true);
    expect(costOf(voice, broken, false)).toEqual({ outcome: 'upstream_reset', usage });
  });

  it('is nothing where nothing came', () => {
    expect(costOf(speaker().voice, broken, false)).toEqual({ outcome: 'upstream_reset' });
  });
});

it.each([
  [{ content: 'four' }, 4],
  [{ refusal: 'four' }, 4],
  [{ reasoning_content: 'four', reasoning: 'four' }, 4],
  [{ tool_calls: [{ index: 0, function: { name: 'ab', arguments: '{}' } }] }, 4],
  [{ tool_calls: [{ index: 0, custom: { name: 'ab', input: 'cd' } }] }, 4],
  [{ function_call: { name: 'ab', arguments: '{}' } }, 4],
  [{ role: 'assistant', content: '' }, 0],
  [{ content: [{ type: 'text' }], tool_calls: [null, 1] }, 0],
])('the characters of %j are %i', (delta, chars) => {
  expect(charsIn(chunk(delta))).toBe(chars);
});
