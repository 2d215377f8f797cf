import { expect, test } from 'vitest';
import { blockChars, createPromptCache, maxRemembered } from './prompt-cache.ts';

const one = { provider: 'p', model: 'one' };
const other = { provider: 'p', model: 'other' };
const system = { role: 'system', content: 's'.repeat(12 * blockChars) };
const bodyOf = (text: string, more: object = {}): string =>
  JSON.stringify({ ...more, messages: [system, { role: 'user', content: text }] });

function setUp() {
  let now = 1_000_000;
  const shared: string[] = [];
  const timers: (() => void)[] = [];
  const cache = createPromptCache({
    now: () => now,
    setTimer: (act) => void timers.push(act),
    share: (text) => shared.push(text),
  });
  const serve = (body: string, cached: number, target = one) =>
    cache.asked(
      target,
      body,
    )({ prompt_tokens: 1000, prompt_tokens_details: { cached_tokens: cached } });
  const fire = () => timers.splice(0).forEach((act) => act());
  return { cache, serve, shared, fire, pass: (ms: number) => (now += ms) };
}

test('a target that was sent the beginning of a prompt is expected to have it cached', () => {
  const { cache, serve } = setUp();
  expect(cache.expectedAt(one, bodyOf('hello'))).toBe(0);
  serve(bodyOf('hello'), 0);
  const share = cache.expectedAt(one, bodyOf('another question'));
  expect(share).toBeGreaterThan(0.9);
  expect(share).toBeLessThan(1);
  expect(cache.expectedAt(other, bodyOf('another question'))).toBe(0);
  expect(cache.expectedAt(one, bodyOf('x', { tools: [{ type: 'function' }] }))).toBe(0);
  expect(cache.expectedAt(one, '{"messages":[]}')).toBe(0);
  const short = JSON.stringify({ messages: [{ content: 's'.repeat(3 * blockChars) }] });
  serve(short, 0);
  expect(cache.expectedAt(one, short)).toBe(0);
});

test('a conversation that grows is cached up to its newest complete block', () => {
  const { cache, serve } = setUp();
  const long = 'y'.repeat(4 * blockChars);
  serve(bodyOf('hello'), 0);
  const before = cache.expectedAt(one, bodyOf(long + long));
  serve(bodyOf(long + long), 600);
  expect(before).toBeCloseTo(0.6, 1);
  expect(cache.expectedAt(one, bodyOf(long + long))).toBeGreaterThan(0.9);
});

test('it is forgotten after five minutes without use', () => {
  const { cache, serve, pass } = setUp();
  serve(bodyOf('hello'), 0);
  pass(299_999);
  serve(bodyOf('again'), 1000);
  pass(299_999);
  expect(cache.expectedAt(one, bodyOf('again'))).toBeGreaterThan(0.9);
  pass(1);
  expect(cache.expectedAt(one, bodyOf('again'))).toBe(0);
});

test('a target that reports no cached tokens is expected to have less and less', () => {
  const { cache, serve } = setUp();
  serve(bodyOf('hello'), 0);
  const shares = Array.from({ length: 10 }, () => {
    serve(bodyOf('hello'), 0);
    return cache.expectedAt(one, bodyOf('hello'));
  });
  expect(shares.at(-1)).toBeLessThan(0.05);
  expect(shares.toSorted((a, b) => b - a)).toEqual(shares);
  // It caches by now.
  for (let i = 0; i < 10; i++) serve(bodyOf('hello'), 1000);
  expect(cache.expectedAt(one, bodyOf('hello'))).toBeGreaterThan(0.9);
});

test('the other workers learn of it, once a minute, in one message', () => {
  const { serve, shared, fire, pass } = setUp();
  serve(bodyOf('hello'), 0);
  serve(bodyOf('hello'), 900);
  fire();
  expect(shared.length).toBe(1);
  const { cache } = setUp();
  cache.onNotice(shared[0] ?? '');
  expect(cache.expectedAt(one, bodyOf('hello'))).toBeGreaterThan(0.9);
  serve(bodyOf('hello'), 900);
  fire();
  expect(shared.length).toBe(1);
  pass(60_000);
  serve(bodyOf('hello'), 900);
  fire();
  expect(shared.length).toBe(2);
});

test('other texts are ignored, and memory is bounded', () => {
  const { cache } = setUp();
  for (const text of [
    '',
    'x',
    '{"kind":"cooled"}',
    '{"kind":"prompt_blocks"',
    '{"kind":"prompt_blocks","blocks":[1,null]}',
    '{"kind":"prompt_blocks","blocks":7}',
  ]) {
    cache.onNotice(text);
  }
  expect(cache.remembered).toBe(0);
  for (let i = 0; i < 55; i++) {
    const blocks = Array.from({ length: 1000 }, (_, n) => `p/m ${i}-${n}`);
    cache.onNotice(JSON.stringify({ kind: 'prompt_blocks', blocks }));
  }
  expect(cache.remembered).toBe(maxRemembered);
});
