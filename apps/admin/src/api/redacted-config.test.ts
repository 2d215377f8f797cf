import { expect, test } from 'vitest';
import { redacted } from './redacted-config.ts';

test('a config is shown without its secrets, their digests and the credentials in URLs', () => {
  const config = {
    redis: { url: 'rediss://user:redis-password@host:6379/1?sentinelPassword=redis-password' },
    database: { url: 'postgres://user:db-password@host/db?password=db-password', retentionMs: 1 },
    admin: { user: 'ops', passwordSha256: 'aa11' },
    webhooks: { secret: 'ee55', url: 'https://u:p@hooks.example:8443/T0/B0/token?sig=s' },
    keys: [
      { id: 'team', secretSha256: 'bb22', weight: 1, limits: { tokensPerMinute: 5 } },
      { id: 'other', secretsSha256: ['cc33', 'dd44'] },
    ],
    providers: {
      p: {
        baseUrl: 'https://api.example.com/v1',
        apiKeys: ['sk-one', 'sk-two'],
        proxy: 'http://u:pw@proxy',
        headers: { 'x-team': 'red' },
        query: { 'api-version': '1', sig: 's' },
      },
    },
  };
  const shown = redacted(config);
  expect(shown).toEqual({
    redis: { url: 'rediss://(not shown)@host:6379/1' },
    database: { url: 'postgres://(not shown)@host/db', retentionMs: 1 },
    admin: { user: 'ops', passwordSha256: '(not shown)' },
    webhooks: { secret: '(not shown)', url: 'https://hooks.example:8443/(not shown)' },
    keys: [
      { id: 'team', secretSha256: '(not shown)', weight: 1, limits: { tokensPerMinute: 5 } },
      { id: 'other', secretsSha256: ['(not shown)', '(not shown)'] },
    ],
    providers: {
      p: {
        baseUrl: 'https://api.example.com/v1',
        apiKeys: ['(not shown)', '(not shown)'],
        proxy: '(not shown)',
        headers: { 'x-team': '(not shown)' },
        query: { 'api-version': '(not shown)', sig: '(not shown)' },
      },
    },
  });
});
