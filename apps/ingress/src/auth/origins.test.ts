import { expect, it } from 'vitest';
import { createOriginCheck } from './origins.ts';

const check = createOriginCheck(['https://app.example', 'http://localhost:3000']);
const host = 'api.example:8080';

it.each([undefined, 'https://app.example', 'http://localhost:3000', 'http://api.example:8080'])(
  'lets %s in',
  (origin) => {
    expect(check(origin, host)).toBe(true);
  },
);

it.each([
  'https://evil.example',
  'http://app.example',
  'https://app.example:444',
  'https://app.example.evil.example',
  'http://api.example',
  'http://api.example:8081',
  'null',
  '',
  'file://',
  'about:blank',
])('keeps %j out', (origin) => {
  expect(check(origin, host)).toBe(false);
});

it('knows the ports that need not be named', () => {
  expect(check('https://api.example', 'api.example:443')).toBe(true);
  expect(check('http://api.example', 'api.example')).toBe(true);
  expect(check('https://api.example', 'api.example:80')).toBe(false);
});

it('compares nothing with a host that is missing or broken', () => {
  expect(check('http://api.example', undefined)).toBe(false);
  expect(check('http://api.example', 'a b')).toBe(false);
  expect(check('null', '')).toBe(false);
});

it('lets all in where all are allowed', () => {
  expect(createOriginCheck(['*'])('https://evil.example', host)).toBe(true);
  expect(createOriginCheck(['*'])('null', host)).toBe(true);
});
