import { mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createDebugFiles } from './files.ts';
import type { DebugFiles, DebugFilesOptions } from './files.ts';

let parent: string;
let dir: string;
let opened: DebugFiles[];
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'millrace-debug-'));
  dir = join(parent, 'debug');
  opened = [];
});
afterEach(async () => {
  for (const files of opened) await files.close();
  await rm(parent, { recursive: true });
});

function openFiles(more: Partial<DebugFilesOptions> = {}): DebugFiles {
  const files = createDebugFiles({ dir, maxBytes: 1 << 20, retentionMs: 3_600_000, ...more });
  opened.push(files);
  return files;
}

const packed = (request: string, text = '') => ({
  request,
  line: gzipSync(`${JSON.stringify({ request, text })}\n`),
});
const dataFiles = async () => (await readdir(dir)).filter((name) => name.endsWith('.gz'));

test('the records of a request are found, also by a process that starts later', async () => {
  await openFiles().write([packed('a', '1'), packed('b'), packed('a', '2')]);
  const found = await openFiles().find('a', 0);
  expect(found.map((line) => JSON.parse(line) as unknown)).toEqual([
    { request: 'a', text: '1' },
    { request: 'a', text: '2' },
  ]);
  expect(await openFiles().find('c', 0)).toEqual([]);
});

test('a file is NDJSON for any program that reads gzip, and for its owner only', async () => {
  await openFiles().write([packed('a'), packed('b')]);
  const [name = ''] = await dataFiles();
  const text = gunzipSync(await readFile(join(dir, name))).toString();
  expect(text.trim().split('\n')).toHaveLength(2);
  expect((await stat(dir)).mode & 0o777).toBe(0o700);
  for (const one of await readdir(dir)) {
    expect((await stat(join(dir, one))).mode & 0o777).toBe(0o600);
  }
});

test('all files together stay within their bound, and the newest are kept', async () => {
  let now = Date.now();
  const maxBytes = 64 * 1024;
  const files = openFiles({ maxBytes, now: () => (now += 1) });
  for (let i = 0; i < 60; i += 1) {
    await files.write([packed(`r${i}`, randomBytes(2048).toString('base64'))]);
    expect((await files.usage()).bytes).toBeLessThanOrEqual(maxBytes);
  }
  expect((await dataFiles()).length).toBeGreaterThan(5);
  expect(await files.find('r0', 0)).toEqual([]);
  expect(await files.find('r59', 0)).toHaveLength(1);
});

test('a file is removed when its retention is over', async () => {
  let now = Date.now();
  const files = openFiles({ retentionMs: 60_000, now: () => now });
  await files.write([packed('a')]);
  await files.clean();
  expect(await files.find('a', 0)).toHaveLength(1);
  now += 3_600_000;
  await files.clean();
  expect(await files.usage()).toEqual({ files: 0, bytes: 0 });
});
