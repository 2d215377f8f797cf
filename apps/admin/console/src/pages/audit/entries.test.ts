import { describe, expect, test } from 'vitest';
import { summaryOf, targetLink } from './entries.ts';
import type { AuditEntry } from './entries.ts';

const entry = (action: string, target: string | null): AuditEntry => ({
  id: '1',
  at: '2026-01-01T00:00:00Z',
  actor: 'ops',
  address: null,
  action,
  target,
  outcome: 'ok',
  detail: null,
});

describe('an audit entry', () => {
  test('leads to what it acted on', () => {
    expect(targetLink(entry('key.update', 'a/b?c'))).toBe('/admin/console/keys/a%2Fb%3Fc');
    expect(targetLink(entry('request.cancel', 'req_0_1'))).toBe('/admin/console/requests/req_0_1');
    expect(targetLink(entry('config.changed', 'abc'))).toBe('/admin/console/config');
  });

  test('leads nowhere if nothing shows what it acted on', () => {
    expect(targetLink(entry('config.reload', null))).toBeUndefined();
    expect(targetLink(entry('key.refused', 'unknown'))).toBeUndefined();
    expect(targetLink(entry('POST /admin/later', 'x'))).toBeUndefined();
  });
});

describe('the detail of an entry', () => {
  test('is one line, without what is empty', () => {
    const detail = {
      id: 'team-a',
      models: ['a', 'b'],
      limits: { concurrent: 5 },
      ips: [],
      note: null,
      debug: false,
    };
    expect(summaryOf({ detail, target: 'team-a' })).toBe(
      'models: a, b · limits: {"concurrent":5} · debug: false',
    );
    expect(summaryOf({ detail: null, target: null })).toBe('');
  });

  test('is cut if it is long', () => {
    const detail = { changed: Array.from({ length: 200 }, () => 'models') };
    expect(summaryOf({ detail, target: null })).toHaveLength(161);
  });
});
