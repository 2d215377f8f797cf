import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { versionAtStart, watchFile } from './watch-file.ts';

let folder: string;
let file: string;
let watch: { close(): void };
let seen: string[];
let changed = (): void => {};

const read = () => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return 'nothing';
  }
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-watch-'));
  file = join(folder, 'millrace.yaml');
  writeFileSync(file, 'first');
  seen = [];
});
afterEach(() => {
  watch.close();
  rmSync(folder, { recursive: true });
});

/** Starts the watch, and resolves when it has looked once: at the version of now. */
async function start(): Promise<void> {
  const settled = Promise.withResolvers<void>();
  changed = settled.resolve;
  watch = watchFile({
    file,
    known: 'unknown',
    onChange: () => {
      seen.push(read());
      changed();
    },
    intervalMs: 5,
    settleMs: 20,
    missingMs: 60,
  });
  await settled.promise;
  seen = [];
}

const next = (): Promise<void> => new Promise((resolve) => (changed = resolve));

test('a file that is written again is noticed, also with the same size and time', async () => {
  await start();
  const at = new Date();
  utimesSync(file, at, at);
  await next();
  writeFileSync(file, 'other');
  utimesSync(file, at, at);
  await next();
  expect(seen.at(-1)).toBe('other');
});

test('a file that another one replaces is noticed, and a third one in the same place', async () => {
  await start();
  for (const text of ['second', 'third']) {
    writeFileSync(`${file}.tmp`, text);
    renameSync(`${file}.tmp`, file);
    await next();
  }
  expect(seen).toEqual(['second', 'third']);
});

test('a file that has vanished is noticed, and its return', async () => {
  await start();
  rmSync(file);
  await next();
  writeFileSync(file, 'back');
  await next();
  expect(seen).toEqual(['nothing', 'back']);
});

test('the swapped symbolic link of a ConfigMap is noticed', async () => {
  for (const version of ['..1', '..2']) {
    mkdirSync(join(folder, version));
    writeFileSync(join(folder, version, 'millrace.yaml'), `in ${version}`);
  }
  rmSync(file);
  symlinkSync('..1', join(folder, '..data'));
  symlinkSync(join('..data', 'millrace.yaml'), file);
  await start();
  symlinkSync('..2', join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
  await next();
  expect(seen).toEqual(['in ..2']);
});

/** A watch of a file whose versions are those of a list, one for each look. */
async function play(versions: readonly string[]) {
  const waits: number[] = [];
  let looks = 0;
  const changes: string[] = [];
  let act: (() => void) | undefined;
  watch = watchFile({
    file: 'any',
    known: 'a',
    onChange: () => changes.push(versions[looks - 1] ?? ''),
    look: async () => versions[looks++] ?? '',
    setTimer(next, ms) {
      waits.push(ms);
      act = next;
      return () => (act = undefined);
    },
  });
  while (looks < versions.length) {
    act?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { changes, waits };
}

test('a file that is still being written is read when it has been at rest', async () => {
  const { changes, waits } = await play(['a', 'b', 'c', 'd', 'd', 'd']);
  expect(changes).toEqual(['d']);
  expect(waits).toEqual([1000, 1000, 250, 250, 250, 1000, 1000]);
});

test('an editor that removes the file before it writes it leaves no vanished file', async () => {
  const { changes, waits } = await play(['missing', 'b', 'b', 'b']);
  expect(changes).toEqual(['b']);
  expect(waits).toEqual([1000, 2000, 250, 1000, 1000]);
});

test('a file that is missing for two seconds has vanished', async () => {
  expect((await play(['missing', 'missing', 'missing'])).changes).toEqual(['missing']);
});

test('a change that is taken back before the file is at rest is none', async () => {
  expect((await play(['b', 'a', 'a', 'a'])).changes).toEqual([]);
});

test('a file that is written without a pause is read in the end', async () => {
  const versions = Array.from({ length: 21 }, (_, at) => `version ${at}`);
  expect((await play(versions)).changes).toEqual(['version 20']);
});

test('a file that was changed since the process began counts as unknown, an older one does not', () => {
  watch = { close() {} };
  expect(versionAtStart(file)).toBe('unknown');
  expect(versionAtStart(join(folder, 'none'))).toBe('missing');
  expect(versionAtStart('/proc/self/mountinfo/x')).toBe('missing');
  expect(versionAtStart(process.execPath)).toMatch(/^\d+:\d+:\d+:\d+:\d+$/);
});
