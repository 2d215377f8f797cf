import { describe, expect, test } from 'vitest';
import { bodyOf, errorsByField, valuesOf } from './form-values.ts';
import type { Key } from './types.ts';

const key: Key = {
  id: 'team-a',
  models: ['gpt-4o'],
  ips: ['10.0.0.0/8', '::1'],
  priority: 'low',
  weight: 2,
  debug: false,
  limits: { requestsPerMinute: 600 },
  budget: { day: 0.5, tokensPerMonth: 1000 },
  source: 'api',
  status: 'valid',
  created_at: '2026-01-01T00:00:00.000Z',
  expires_at: '2027-01-01T10:30:00.000Z',
  revoked_at: null,
  secrets: [],
  budget_use: [],
};

describe('the body of a new key', () => {
  test('has the fields of the form, and no limits, budget or expiry where none is given', () => {
    const body = bodyOf({ ...valuesOf(undefined), id: ' team-b ' });
    expect(body).toEqual({
      id: 'team-b',
      models: ['*'],
      ips: [],
      priority: 'normal',
      weight: 1,
      debug: false,
    });
  });

  test('has a text that is no number as it is, so that the API can name the field', () => {
    const values = valuesOf(undefined);
    const body = bodyOf({
      ...values,
      weight: 'heavy',
      limits: { ...values.limits, concurrent: '1_000' },
    });
    expect(body).toMatchObject({ weight: 'heavy', limits: { concurrent: 1000 } });
  });

  test('has no models if none is chosen, rather than all of them', () => {
    expect(bodyOf({ ...valuesOf(undefined), allModels: false })).toMatchObject({ models: [] });
  });
});

describe('the body of a change', () => {
  const before = valuesOf(key);

  test('is empty if nothing was changed', () => {
    expect(bodyOf(before, before)).toEqual({});
  });

  test('has only what was changed', () => {
    const after = { ...before, ips: '10.0.0.0/8, 192.168.1.1' };
    expect(bodyOf(after, before)).toEqual({ ips: ['10.0.0.0/8', '192.168.1.1'] });
  });

  test('replaces limits and budget as a whole, and removes those whose fields are all empty', () => {
    const after = {
      ...before,
      limits: { requestsPerMinute: '', tokensPerMinute: '', concurrent: '' },
      budget: { ...before.budget, day: '2' },
      expiresAt: '',
    };
    expect(bodyOf(after, before)).toEqual({
      limits: null,
      budget: { day: 2, tokensPerMonth: 1000 },
      expires_at: null,
    });
  });

  test('has the time of expiry in UTC', () => {
    expect(bodyOf({ ...before, expiresAt: '2028-06-01T12:00' }, before)).toEqual({
      expires_at: new Date('2028-06-01T12:00').toISOString(),
    });
  });
});

describe('an error of the API', () => {
  test('stands at the field that its param names', () => {
    const message = "There is a key 'team-a' already; revoked keys keep their ids.";
    expect([...errorsByField(message, 'id')]).toEqual([['id', message]]);
  });

  test('with several messages stands at several fields', () => {
    const message =
      'limits.concurrent: expected a whole number; found "x"; ips[1]: expected an address; models[0]: unknown; budget.day: expected a number';
    expect([...errorsByField(message, 'limits.concurrent')]).toEqual([
      ['limits.concurrent', 'expected a whole number; found "x"'],
      ['ips', 'expected an address'],
      ['models', 'unknown'],
      ['budget.day', 'expected a number'],
    ]);
  });

  test('of a field that the form does not have, or of none, stands above the form', () => {
    expect([...errorsByField('colour: unknown field', 'colour')]).toEqual([['', 'unknown field']]);
    expect([...errorsByField('Redis does not answer.', undefined)]).toEqual([
      ['', 'Redis does not answer.'],
    ]);
  });
});
