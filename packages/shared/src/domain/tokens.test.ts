import { expect, it } from 'vitest';
import { estimateTokens, tokensUsed } from './tokens.ts';

it('a request is estimated by its length and the longest answer that it allows', () => {
  const body = JSON.stringify({ max_tokens: 100, messages: [{ content: 'x'.repeat(4000) }] });
  expect(estimateTokens(body)).toBeGreaterThan(1100);
  expect(estimateTokens(body)).toBeLessThan(1130);
  const two = JSON.stringify({ n: 2, max_tokens: 7, max_completion_tokens: 100 });
  expect(estimateTokens(two)).toBe(Math.ceil(two.length / 4) + 200);
  expect(estimateTokens('{"max_tokens":"lots"}')).toBe(6 + 500);
});

it('no number is larger than can be counted', () => {
  for (const most of ['1e19', '9e15', String(Number.MAX_SAFE_INTEGER)]) {
    expect(estimateTokens(`{"max_tokens":${most},"n":${most}}`)).toBe(1e12);
  }
  expect(tokensUsed({ total_tokens: 1e19, prompt_tokens: 3 })).toBe(3);
});

it('a picture counts as a picture, not as its letters', () => {
  const url = `data:image/png;base64,${'A'.repeat(1_000_000)}`;
  const body = JSON.stringify({
    messages: [{ content: [{ image_url: { url } }, { image_url: { url } }] }],
  });
  expect(estimateTokens(body)).toBeLessThan(3000);
  expect(estimateTokens(body)).toBeGreaterThan(2500);
});

it('what was used is read from a usage, whatever of it is there', () => {
  expect(tokensUsed({ prompt_tokens: 3, completion_tokens: 4, total_tokens: 9 })).toBe(9);
  expect(tokensUsed({ prompt_tokens: 3, completion_tokens: 4 })).toBe(7);
  expect(tokensUsed({ completion_tokens: 0 })).toBe(0);
  for (const none of [undefined, null, 'x', {}, { total_tokens: '9' }]) {
    expect(tokensUsed(none)).toBeUndefined();
  }
});
