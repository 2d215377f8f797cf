import { describe, expect, it } from 'vitest';
import { fault } from '../continuation/history.fixture.ts';
import { redactFault } from './key-redaction.ts';

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
    const clean = redactFault(told, key);
    expect(JSON.stringify(clean)).not.toContain(key);
    expect(clean).toEqual({
      ...told,
      message: 'No: ***, ***.',
      detail: '401 context_length_exceeded: Bad key ***',
      error: error('Bad key ***', { metadata: { raw: ['Bearer ***', 1, null, true] } }),
    });
  });

  it('is taken out with every other secret that the request had', () => {
    const told = fault('upstream_rejected', { message: `No: ${key}, tok-98765432.` });
    expect(redactFault(told, key, 'tok-98765432').message).toBe('No: ***, ***.');
  });

  it.each(['x', '0', 'null', 'context', '"', 'code'])(
    'is not looked for where it is %j',
    (short) => {
      const told = fault('context_length_exceeded', { httpStatus: 400, error: error('x 0 null') });
      const detail = '400 context_length_exceeded: x 0 null';
      expect(redactFault(told, short)).toEqual({ ...told, detail });
    },
  );

  it('leaves our own words for a fault alone', () => {
    const told = fault('context_length_exceeded', { message: 'context_length_exceeded' });
    const clean = redactFault(told, 'context_length_exceeded');
    expect(clean).toEqual({ code: 'context_length_exceeded', message: '***' });
  });

  it('is no reason to fail on an error that is nested beyond every bound', () => {
    const deep: unknown = JSON.parse(`${'['.repeat(50_000)}${']'.repeat(50_000)}`);
    const clean = redactFault(fault('upstream_rejected', { error: error('No', { deep }) }), key);
    expect(JSON.stringify(clean).length).toBeLessThan(1000);
  });

  it('is looked for in no more of an error than a reader can use', () => {
    const long = `${'No. '.repeat(1_000_000)}${key}`;
    const told = fault('upstream_server_error', {
      message: long,
      error: error(long, { more: [long, long] }),
    });
    const clean = redactFault(told, key);
    expect(JSON.stringify(clean).length).toBeLessThan(300_000);
    expect(clean.error?.message).toMatch(/^No\. No\. /);
    expect(clean.detail).toMatch(/^context_length_exceeded: No\. /);
  });

  const secret = 'sk-proj-9fKq27LmZx04TbWv83';
  const hex = Buffer.from(secret).toString('hex');
  const base64 = (before: string, after = '') =>
    Buffer.from(before + secret + after).toString('base64');

  it.each([
    ['as the name of a field', { [secret]: true }],
    ['in hex', { raw: `x${hex}` }],
    ['in hex with capitals', { raw: hex.toUpperCase() }],
    ['in base64', { raw: base64('') }],
    ['in base64 behind another word', { raw: base64('Bearer ') }],
    ['in base64 behind and before other words', { raw: base64('a ', ' and so on') }],
    ['as a login in base64', { raw: `Basic ${base64('user:')}` }],
    ['split over two fields', { first: secret.slice(0, 13), second: secret.slice(13) }],
    ['split by white space', { raw: secret.match(/.{1,4}/g)?.join('\n ') }],
    ['without its beginning', { raw: `…${secret.slice(9)}` }],
    ['in a URL', { raw: `https://x.test/?key=${encodeURIComponent(secret)}&a=b` }],
  ])('is taken out %s', (_, more) => {
    const told = fault('upstream_rejected', { httpStatus: 400, error: error('No.', more) });
    const clean = JSON.stringify(redactFault(told, secret));
    const letters = clean.replaceAll(/[^A-Za-z0-9]/g, '');
    for (const form of [secret.replaceAll('-', ''), hex, hex.toUpperCase()]) {
      for (let at = 0; at + 8 <= form.length; at++) {
        expect(letters).not.toContain(form.slice(at, at + 8));
      }
    }
    expect(Buffer.from(letters, 'base64').toString()).not.toContain(secret.slice(4, 16));
    expect(clean).toContain('***');
  });

  it('is looked for in a long text in no time', () => {
    const long = 'sk-a-'.repeat(50_000);
    // A quadratic search takes minutes, and exceeds the test's own time limit.
    const clean = redactFault(fault('upstream_rejected', { error: error(long) }), secret);
    expect(clean.code).toBe('upstream_rejected');
  });
});

describe('whose account it is', () => {
  it.each([
    'organization org-AbC123xyz456',
    'in organization `org_01hxyz2abc3` service tier `on_demand`',
    'project proj_Ab12Cd34',
    'your team 0f1e2d3c-1111-2222-3333-444455556666 has used',
    'Project 123456789012 is not allowed',
    'account accounts/fired-up-77aa is suspended',
    'User: arn:aws:iam::123456789012:user/gateway is not authorized',
    'Incorrect API key provided: sk-proj-********************wxyz.',
    'Your api key: ****c0de is invalid',
    'key sk-…abcd is over its limit',
    'key sk-or-v1-0f3...9c2 is over its limit',
    'user_2abCdEf3 may not',
  ])('is no part of what a client sees: %s', (words) => {
    const told = fault('upstream_rejected', {
      message: words,
      httpStatus: 400,
      error: error(words),
    });
    const clean = redactFault(told, 'sk-another-key-0123');
    const isIn = (text: string) =>
      /AbC123|01hxyz|Ab12Cd|0f1e2d|123456789012|77aa|gateway|wxyz|c0de|abcd|0f3|9c2|2abCd/.test(
        text,
      );
    expect(isIn(words)).toBe(true);
    expect(isIn(clean.message)).toBe(false);
    expect(isIn(JSON.stringify(clean.error))).toBe(false);
    // For whom it is good to know.
    expect(isIn(clean.detail ?? '')).toBe(true);
  });

  it.each([
    'user_error',
    'rate_limit_exceeded',
    'messages.0.content',
    'max_tokens: 9 > 8',
    '***',
    "Invalid schema for function 'f': 'org_name', 'proj-settings' and 'user_address1' are required",
  ])('is not seen in %j', (words) => {
    const told = fault('upstream_rejected', { message: words, error: error(words) });
    expect(redactFault(told, undefined)).toMatchObject({ message: words, error: error(words) });
  });
});
