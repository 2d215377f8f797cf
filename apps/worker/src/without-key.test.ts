import { describe, expect, it } from 'vitest';
import { fault } from './failover/history.fixture.ts';
import { withoutKey } from './without-key.ts';

const error = (message: string, more: object = {}) => ({
  message,
  type: 'invalid_request_error',
  param: null,
  code: 'context_length_exceeded',
  ...more,
});

describe('the key in what a provider says', () => {
  const key = 'sk-0123456789';

  it('is taken out of every text of it', () => {
    const told = fault('upstream_auth_failed', {
      message: `No: ${key}, ${key}.`,
      httpStatus: 401,
      error: error(`Bad key ${key}`, { metadata: { raw: [`Bearer ${key}`, 1, null, true] } }),
    });
    const clean = withoutKey(told, key);
    expect(JSON.stringify(clean)).not.toContain(key);
    expect(clean).toEqual({
      ...told,
      message: 'No: ***, ***.',
      error: error('Bad key ***', { metadata: { raw: ['Bearer ***', 1, null, true] } }),
    });
  });

  it.each(['x', '0', 'null', 'context', '"', 'code'])(
    'is not looked for where it is %j',
    (short) => {
      const told = fault('context_length_exceeded', { httpStatus: 400, error: error('x 0 null') });
      expect(withoutKey(told, short)).toEqual(told);
    },
  );

  it('leaves our own words for a fault alone', () => {
    const told = fault('context_length_exceeded', { message: 'context_length_exceeded' });
    const clean = withoutKey(told, 'context_length_exceeded');
    expect(clean).toEqual({ code: 'context_length_exceeded', message: '***' });
  });

  it('is no reason to fail on an error that is nested beyond every bound', () => {
    const deep: unknown = JSON.parse(`${'['.repeat(50_000)}${']'.repeat(50_000)}`);
    const clean = withoutKey(fault('upstream_rejected', { error: error('No', { deep }) }), key);
    expect(JSON.stringify(clean).length).toBeLessThan(1000);
  });
});
