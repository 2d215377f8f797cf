import { describe, expect, it } from 'vitest';
import { readContinuation, readDeadline } from './headers.ts';
import { readCreate } from './websocket/frames.ts';

const now = Date.UTC(2026, 10, 21);

describe('what may be done after a fault in mid-answer', () => {
  const inHeader = (value: string | undefined) =>
    readContinuation({ 'x-millrace-continuation': value });
  const inFrame = (continuation: unknown) => {
    const body = { model: 'm', messages: [{ role: 'user', content: 'Hi' }] };
    const frame = { type: 'create', body, continuation };
    return readCreate(frame, JSON.stringify(frame), now).submission.continuation;
  };

  it.each(['auto', 'strict', 'off', 'always', undefined])('may be %s', (value) => {
    expect(inHeader(value)).toBe(value);
    expect(inFrame(value)).toBe(value);
  });

  it('is nothing else', () => {
    const names = "expected one of 'auto', 'strict', 'off', 'always'";
    expect(() => inHeader('never')).toThrow(`Invalid 'x-millrace-continuation': ${names}`);
    expect(() => inFrame('never')).toThrow(`Invalid 'continuation': ${names}`);
    expect(() => inFrame(true)).toThrow("Invalid 'continuation'");
  });
});

describe('a deadline', () => {
  it.each([
    ['30s', now + 30_000],
    ['0.5s', now + 500],
    ['2028-02-29T12:00:00Z', Date.UTC(2028, 1, 29, 12)],
    ['2030-01-31t12:00:00.5+01:00', Date.UTC(2030, 0, 31, 11, 0, 0, 500)],
    ['2099-12-31 23:59:59z', Date.UTC(2099, 11, 31, 23, 59, 59)],
    ['9999-12-31T23:59:59Z', Date.UTC(9999, 11, 31, 23, 59, 59)],
    [undefined, undefined],
    [null, undefined],
  ])('%s is taken', (value, at) => {
    expect(readDeadline(value, now)).toBe(at);
  });

  it.each([
    '2030-02-31T12:00:00Z',
    '2030-02-29T12:00:00Z',
    '2030-04-31T12:00:00+01:00',
    '2030-13-01T12:00:00Z',
    '2030-00-10T12:00:00Z',
    '2030-01-00T12:00:00Z',
    '2030-01-01T24:00:00Z',
    '2030-01-01T12:60:00Z',
    '2030-01-01T12:00:00+99:99',
    '2030-01-01',
    '1e3s',
    'Infinitys',
    '-1s',
    '',
    30,
    {},
  ])('%j is neither a duration nor a time', (value) => {
    expect(() => readDeadline(value, now)).toThrow(/expected a duration/);
  });

  it.each([
    ['of 400 digits', `${'9'.repeat(400)}d`],
    ['of 20 digits', `${'9'.repeat(20)}d`],
    ['in another zone', '9999-12-31T23:59:59-12:00'],
  ])('%s lies too far ahead', (_what, value) => {
    expect(() => readDeadline(value, now, 'deadline')).toThrow(
      "Invalid 'deadline': it lies beyond the year 9999.",
    );
  });
});
