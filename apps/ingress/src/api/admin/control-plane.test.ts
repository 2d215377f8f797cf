import { describe, expect, test } from 'vitest';
import { consolePage, mayChangeKeys } from './control-plane.ts';

describe('a change of a target is no change of keys', () => {
  test.each([
    'openai/gpt-4o',
    'ollama/llama3:8b',
    'cf/@cf/meta/llama-3',
    'a/b+c=d',
    'a/b c',
    'é/ü',
  ])('for %s, escaped as a whole', (target) => {
    for (const order of ['open', 'close']) {
      const url = `/admin/upstreams/${encodeURIComponent(target)}/${order}`;
      expect([url, mayChangeKeys('POST', url)]).toEqual([url, false]);
    }
  });

  test.each(['cf%2F@cf/meta', 'cf%2f%40cf%2Fmeta', 'a%2Fb+c=d:e'])('for %s', (target) => {
    expect(mayChangeKeys('POST', `/admin/upstreams/${target}/open`)).toBe(false);
  });
});

test('an order for a request is no change of keys', () => {
  for (const order of ['cancel', 'move']) {
    expect(mayChangeKeys('POST', `/admin/requests/req_0_0mh000000abc/${order}`)).toBe(false);
  }
  expect(mayChangeKeys('POST', '/admin/requests/../keys')).toBe(true);
  expect(mayChangeKeys('POST', '/admin/requests/a/other')).toBe(true);
});

test('an order for a delivery of a webhook is no change of keys', () => {
  const url = '/admin/webhooks/3f2c-1_a';
  expect(mayChangeKeys('DELETE', url)).toBe(false);
  expect(mayChangeKeys('POST', `${url}/replay`)).toBe(false);
  for (const other of ['', '/..', '/../keys', '/%2e%2e/keys', '/a/other', '/a/../keys']) {
    expect(mayChangeKeys('POST', `/admin/webhooks${other}`)).toBe(true);
  }
});

describe('what may lead to keys', () => {
  test.each([
    '/admin/keys',
    '/admin/upstreams/../keys',
    '/admin/upstreams/%2e%2e/keys',
    '/admin/upstreams/a%2F..%2F..%2Fkeys',
    '/admin/upstreams/a%2F%2E%2E/open',
    '/admin/upstreams/%252e%252e/keys',
    '/admin/upstreams/..%5ckeys',
    '/admin/upstreams/%09../keys',
    '/admin/upstreams/a%zz',
  ])('is a change of keys: %s', (url) => {
    expect(mayChangeKeys('POST', url)).toBe(true);
  });

  test('is a change of keys, however the path is escaped', () => {
    const separators = ['/', '//', '%2F', '%2f', '\\', '%5C'];
    const parts = [
      'a',
      '.',
      '..',
      '@',
      '=',
      '%2e',
      '.%2E',
      '%2e%2e',
      '%252e%252e',
      '%09..',
      '%61',
      'a%3A',
      'a%3F',
    ];
    const allowed: string[] = [];
    for (const first of separators)
      for (const one of parts)
        for (const second of separators)
          for (const other of parts)
            for (const third of separators) {
              const url = `/admin/upstreams${first}${one}${second}${other}${third}keys`;
              if (!mayChangeKeys('POST', url)) allowed.push(url);
            }
    expect(allowed).toContain('/admin/upstreams/a/a%3A/keys');
    expect(
      allowed.filter((url) => readings(url).some((path) => path.startsWith('/admin/keys'))),
    ).toEqual([]);
  });
});

test.each([
  '/admin',
  '/admin/',
  '/admin?q=status:error',
  '/admin/console/requests/req_0_1a?x=/../',
])('the page of the console is %s', (url) => expect(consolePage.test(url)).toBe(true));

test('no path that a server could read as one outside of the console is its page', () => {
  const separators = ['/', '//', '%2F', '%2f', '\\', '%5C'];
  const parts = ['a', '.', '..', '...', '%2e', '.%2E', '%252e%252e', '%09..', ';..', 'a%3F', '%61'];
  const open: string[] = [];
  for (const first of separators)
    for (const one of parts)
      for (const second of separators)
        for (const other of parts) {
          const url = `/admin/console${first}${one}${second}${other}/keys`;
          if (consolePage.test(url)) open.push(url);
        }
  expect(open).toContain('/admin/console/a/a%3F/keys');
  const isOutside = (path: string) => !/^\/admin\/console(\/|$)/.test(path);
  expect(open.filter((url) => readings(url).some(isOutside))).toEqual([]);
});

/** The paths that a server may make of a URL, by normalizing and decoding it again and again. */
function readings(url: string): string[] {
  const found: string[] = [];
  let next = url;
  for (let times = 0; times < 3; times += 1) {
    next = new URL(next, 'http://host').pathname;
    found.push(next.replaceAll(/\/+/g, '/').toLowerCase());
    next = decodeURIComponent(next);
    found.push(next.toLowerCase());
  }
  return found;
}
