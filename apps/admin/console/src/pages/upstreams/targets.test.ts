import { expect, test } from 'vitest';
import { byProvider, keyLimitText, limitsOf, openQuestion, whyOf, worstFirst } from './targets.ts';
import type { Pool, Target } from './types.ts';

const target = (name: string, changes: Partial<Target> = {}): Target => ({
  target: name,
  provider: name.split('/')[0] ?? '',
  model: name.split('/')[1] ?? '',
  aliases: ['chat'],
  state: 'closed',
  opened_by: null,
  reason: null,
  since: null,
  next_probe_at: null,
  last_fault: null,
  ...changes,
});

test('targets that are open come first, those of no known state last', () => {
  const sorted = worstFirst([
    target('b/m'),
    target('a/m', { state: null }),
    target('d/m', { state: 'open' }),
    target('c/m', { state: 'recovering' }),
  ]);
  expect(sorted.map((one) => one.target)).toEqual(['d/m', 'c/m', 'a/m', 'b/m']);
});

test('the reason of a trip goes before the last fault', () => {
  const fault = { code: 'upstream_reset', message: 'reset', at: 100 };
  expect(whyOf(target('a/m', { last_fault: fault }), 112_000)).toBe(
    '12 s ago: upstream_reset: reset',
  );
  expect(whyOf(target('a/m', { reason: 'opened by ops', last_fault: fault }))).toBe(
    'opened by ops',
  );
  expect(whyOf(target('a/m', { last_fault: 'odd' }))).toBe('');
  expect(whyOf(target('a/m', { last_fault: { code: 7 } }))).toBe('');
});

test('the question before a target is opened names the models that have no other target', () => {
  const one = target('a/m', { aliases: ['chat', 'code'] });
  expect(openQuestion(one, [one, target('b/m', { aliases: ['chat', 'code'] })])).toMatch(
    /Its models have other targets/,
  );
  expect(openQuestion(one, [one, target('b/m')])).toMatch(/left for code: requests for it wait/);
  expect(openQuestion(one, [one, target('b/m', { aliases: ['code'], state: 'open' })])).toMatch(
    /left for chat, code: requests for them/,
  );
});

test('the limits of a target are those of the config', () => {
  const config = {
    config: {
      models: {
        chat: {
          targets: [
            { provider: 'a', model: 'm', limits: { requestsPerMinute: 50, concurrent: 3 } },
            { provider: 'b', model: 'm' },
          ],
        },
      },
    },
  };
  expect(limitsOf(target('a/m'), config)).toBe('50 requests a minute, 3 at a time');
  expect(limitsOf(target('b/m'), config)).toBe('');
  expect(limitsOf(target('b/m'), undefined)).toBe('');
});

test('the limits of a key that a provider reports are shown in words', () => {
  const limit = { model: 'm', closed_until_at: null, requests: null, tokens: null };
  expect(keyLimitText(limit)).toBe('');
  expect(keyLimitText({ ...limit, closed_until_at: '2026-01-01T00:00:00Z' })).toBe(
    'm: at its limit',
  );
  expect(keyLimitText({ ...limit, requests: { limit: 500, remaining: 12, resets_at: null } })).toBe(
    'm: 12 of 500 requests left',
  );
});

test('pools are grouped by provider', () => {
  const pool = (provider: string, worker: string): Pool => ({
    provider,
    worker,
    limit: 10,
    size: 2,
    active: 1,
    idle: 1,
    connecting: 0,
    waiting: 0,
    wait_timeouts: 0,
    reuse_rate: null,
    connections: [],
    keys: [],
  });
  const groups = byProvider([pool('a', 'w1'), pool('b', 'w1'), pool('a', 'w2')]);
  expect(groups.map(({ name, active, limit }) => [name, active, limit])).toEqual([
    ['a', 2, 20],
    ['b', 1, 10],
  ]);
});
