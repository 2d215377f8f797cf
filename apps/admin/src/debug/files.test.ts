import {
  appendFile,
  chmod,
  mkdir,
  mkdtemp,
  open,
  readFile,
  readdir,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { randomBytes } from 'node:crypto';
import { frameRecord } from '@millrace/shared/store/debug-log/framing';
import type { RawRecord } from '@millrace/shared/store/debug-log/framing';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { storeOnce } from './debug-log.ts';
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

/** Until the test ends, writes beyond the first `whole` ones take a part of their bytes and fail, as on a full disk. */
async function fillDisk(whole = 0): Promise<{ mend(): void }> {
  const handle = await open(parent);
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  let left = whole;
  const write = prototype.appendFile;
  const spy = vi.spyOn(prototype, 'appendFile').mockImplementation(async function (
    this: FileHandle,
    data,
  ) {
    if (left-- > 0) return write.call(this, data);
    await write.call(this, (data as Buffer).subarray(0, 3));
    throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  });
  onTestFinished(() => spy.mockRestore());
  return { mend: () => spy.mockRestore() };
}

test('writes that fail leave no file behind, and all files stay within their bound', async () => {
  let now = Date.now();
  const maxBytes = 64 * 1024;
  const files = openFiles({ maxBytes, now: () => (now += 1) });
  const big = () => packed('a', randomBytes(2048).toString('base64'));
  const empty = await fillDisk();
  for (let i = 0; i < 5; i += 1) await expect(files.write([big()])).rejects.toThrow('no space');
  expect(await readdir(dir)).toEqual([]);
  empty.mend();
  for (let i = 0; i < 60; i += 1) {
    // A record and its index; then nothing.
    const full = await fillDisk(2);
    await expect(files.write([big(), big()])).rejects.toThrow('no space');
    full.mend();
    expect((await files.usage()).bytes).toBeLessThanOrEqual(maxBytes);
  }
  for (const name of await dataFiles()) {
    expect(gunzipSync(await readFile(join(dir, name))).length).toBeGreaterThan(0);
  }
});

test('a record that was written before one that failed is not written again', async () => {
  const store = storeOnce(openFiles(), () => {});
  const raw = (request: string): RawRecord => ({
    head: { request, sent: { path: '/', headers: {}, bytes: 0 } } as unknown as RawRecord['head'],
    bytes: Buffer.alloc(0),
  });
  const records = ['a', 'b', 'c'].map((request) => ({
    request,
    packed: gzipSync(frameRecord(raw(request))),
  }));
  const full = await fillDisk(2);
  await expect(store(records)).rejects.toThrow('no space');
  full.mend();
  await store(records);
  const reader = openFiles();
  for (const { request } of records) expect(await reader.find(request, 0)).toHaveLength(1);
});

test('a folder that was there before keeps its mode, and its other files', async () => {
  await mkdir(dir, { mode: 0o755 });
  await chmod(dir, 0o755);
  await writeFile(join(dir, 'backup.ndjson.gz'), 'x'.repeat(4096));
  const files = openFiles({ maxBytes: 1024, retentionMs: -1 });
  await files.write([packed('a')]);
  await files.close();
  await files.clean();
  expect(await readdir(dir)).toEqual(['backup.ndjson.gz']);
  expect((await stat(dir)).mode & 0o777).toBe(0o755);
});

test('records are read around a line of the index that is damaged, and by a clock that is behind', async () => {
  const writer = openFiles();
  await writer.write([packed('a', '1'), packed('a', '2')]);
  await writer.close();
  const index = (await readdir(dir)).find((name) => name.endsWith('.idx')) ?? '';
  await appendFile(join(dir, index), 'a 1 5\na 0 99999999999\na 7');
  expect(await openFiles().find('a', Date.now() + 30_000)).toHaveLength(2);
});
