import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Fastify from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consoleRoutes } from './console-routes.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-console-'));
  await mkdir(join(folder, 'assets'));
  await writeFile(join(folder, 'index.html'), '<title>Millrace</title>');
  await writeFile(join(folder, 'assets/page-1a2b.js'), 'plain');
  await writeFile(join(folder, 'assets/page-1a2b.js.br'), 'small');
});
afterAll(() => rm(folder, { recursive: true }));

const get = (url: string, headers = {}) => {
  const app = Fastify();
  consoleRoutes(app, folder);
  return app.inject({ url, headers });
};

test.each(['/admin', '/admin/console', '/admin/console/requests/req_1?q=a%20b'])(
  '%s is the console, which may run scripts of this server only',
  async (url) => {
    const answer = await get(url);
    expect([answer.statusCode, answer.body]).toEqual([200, '<title>Millrace</title>']);
    expect(answer.headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-cache',
      'content-security-policy': expect.stringContaining("default-src 'self'"),
      'x-content-type-options': 'nosniff',
    });
  },
);

test('an asset is kept by browsers, and sent compressed to those that can read it', async () => {
  const plain = await get('/admin/console/assets/page-1a2b.js');
  expect(plain.body).toBe('plain');
  expect(plain.headers['cache-control']).toBe('public, max-age=31536000, immutable');
  const compressed = await get('/admin/console/assets/page-1a2b.js', { 'accept-encoding': 'br' });
  expect([compressed.headers['content-encoding'], compressed.body]).toEqual(['br', 'small']);
});

test.each(['assets/none.js', 'assets/..%2f..%2fpackage.json', 'assets/%2e%2e/index.html'])(
  'no file outside of the assets is served as one: %s',
  async (path) => {
    const answer = await get(`/admin/console/${path}`);
    expect([404, 403, 200]).toContain(answer.statusCode);
    expect(answer.body).not.toContain('"name"');
  },
);

test('a console that is not built says how to build it', async () => {
  const app = Fastify();
  consoleRoutes(app, join(folder, 'none'));
  const answer = await app.inject({ url: '/admin' });
  expect(answer.statusCode).toBe(404);
  expect(answer.body).toContain('node scripts/setup.mjs --console');
});
