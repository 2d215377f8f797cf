import { describe, expect, it } from 'vitest';
import { emptyHistory, applyEntry } from '../continuation/history.ts';
import type { History } from '../continuation/history.ts';
import { billableTokens } from './billable-tokens.ts';

const body = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'x'.repeat(400) }] });
const started = { run: 1, attempt: 1, provider: 'p', model: 'm', mode: 'start', at: 1 } as const;

function story(...parts: ('try' | 'text' | 'usage')[]): History {
  const history = emptyHistory();
  for (const part of parts) {
    if (part === 'try') applyEntry(history, { kind: 'attempt', data: started });
    else {
      const content = part === 'text' ? 'y'.repeat(40) : '';
      const usage = part === 'usage' ? { total_tokens: 77 } : null;
      const choices = part === 'text' ? [{ index: 0, delta: { content } }] : [];
      applyEntry(history, { kind: 'chunk', text: JSON.stringify({ choices, usage }) });
    }
  }
  return history;
}

describe('the tokens of a request', () => {
  it('are those that its readers were told', () => {
    expect(billableTokens('completed', story('try', 'text', 'usage'), body)).toBe(77);
    expect(billableTokens('ended from outside', story('try', 'text', 'usage'), body)).toBe(77);
  });

  it('are not known where the provider did not say', () => {
    expect(billableTokens('completed', story('try', 'text'), body)).toBeUndefined();
  });

  it('are none where nobody was asked, or an error was all', () => {
    expect(billableTokens('ended from outside', story(), body)).toBe(0);
    expect(billableTokens('failed', story('try'), body)).toBe(0);
  });

  it('are counted from the text where it broke off, or was called off', () => {
    const prompt = billableTokens('ended from outside', story('try'), body) ?? 0;
    expect(prompt).toBeGreaterThan(100);
    expect(prompt).toBeLessThan(130);
    for (const ending of ['failed', 'ended from outside'] as const) {
      expect(billableTokens(ending, story('try', 'text'), body)).toBe(prompt + 10);
    }
  });
});
