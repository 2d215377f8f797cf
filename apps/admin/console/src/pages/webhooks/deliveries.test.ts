import { describe, expect, test } from 'vitest';
import { lastTry, nextTry, shownUrl } from './deliveries.ts';
import type { Delivery } from './deliveries.ts';

const delivery = (values: Partial<Delivery>): Delivery => ({
  id: 'msg_1',
  event: 'job.completed',
  url: 'https://a.example/(not shown)',
  request: null,
  created_at: '2026-01-01T00:00:00Z',
  attempts: 0,
  next_at: null,
  state: 'waiting',
  last_error: null,
  status: null,
  ...values,
});

describe('a message', () => {
  test('says what its last attempt came to', () => {
    expect(lastTry(delivery({}))).toBe('none yet');
    expect(lastTry(delivery({ state: 'delivered', status: 204 }))).toBe('answered 204');
    expect(lastTry(delivery({ state: 'dead', status: 410, last_error: 'gone' }))).toBe('gone');
    expect(lastTry(delivery({ attempts: 2, status: 500 }))).toBe('answered 500');
  });

  test('that waits says how often it was tried, and when it is tried next', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    expect(nextTry(delivery({ next_at: '2026-01-01T00:05:00Z' }), now)).toBe('0, next in 5 min');
    expect(nextTry(delivery({ next_at: '2025-12-31T23:59:00Z' }), now)).toBe('0, next now');
    expect(nextTry(delivery({ attempts: 3 }), now)).toBe('3, next now');
  });

  test('shows the host of its URL', () => {
    expect(shownUrl('https://a.example:8443/(not shown)')).toBe('a.example:8443');
    expect(shownUrl('<script>')).toBe('<script>');
  });
});
