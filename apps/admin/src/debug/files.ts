import { mkdir, open, readFile, readdir, rm, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip as gunzipCallback } from 'node:zlib';

/*
 * The files of the debug log: NDJSON, compressed with gzip line by line, so that `zcat` reads a file whole and this process a
 * single record. Beside each is its index: a line `request offset length` for each record.
 */

/** `line`: a DebugRecord as a line of JSON, compressed with gzip. */
export type DebugLine = { request: string; line: Buffer };

export type DebugFilesOptions = {
  dir: string;
  /** Of all files together. */
  maxBytes: number;
  retentionMs: number;
  now?(): number;
};

export type DebugFiles = {
  /** Resolves when the disk has them. Rejects if it takes no more. */
  write(lines: readonly DebugLine[]): Promise<void>;
  /** The records of a request, oldest first, as JSON. `since`: none was made before this (ms since the epoch). */
  find(request: string, since: number): Promise<string[]>;
  usage(): Promise<{ files: number; bytes: number }>;
  /** Removes what is too old, and the oldest files while all are too large. */
  clean(): Promise<void>;
  close(): Promise<void>;
};

/** A new file begins after this share of `maxBytes`, and after this share of the retention: a file is removed as a whole. */
const filesAtLeast = 16;
/** Most records of one answer. */
export const maxFound = 100;

/** Milliseconds by which the clock of an ingress may be ahead of this machine's. */
const clockSkewMs = 60_000;

const dataSuffix = '.ndjson.gz';
/** Only files of this log are read, and removed. */
const ownName = /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z-\d+\.ndjson\.gz$/;
const indexSuffix = '.idx';
const gunzip = promisify(gunzipCallback);

type Current = { name: string; data: FileHandle; index: FileHandle; bytes: number; since: number };
type Found = { name: string; bytes: number; at: number };

export function createDebugFiles(options: DebugFilesOptions): DebugFiles {
  const { dir, maxBytes, retentionMs, now = Date.now } = options;
  let current: Current | undefined;

  async function begin(): Promise<Current> {
    // Also behind a failed write, which ends its file: repeated ones must not fill the disk.
    await clean();
    // A folder that was there before keeps its mode: it may be shared.
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const since = now();
    const stem = `${new Date(since).toISOString().replaceAll(':', '-')}-${process.pid}`;
    const name = stem + dataSuffix;
    const data = await open(join(dir, name), 'a', 0o600);
    try {
      const index = await open(join(dir, indexOf(name)), 'a', 0o600);
      return { name, data, index, bytes: 0, since };
    } catch (error) {
      await data.close();
      await remove(name);
      throw error;
    }
  }

  async function end(): Promise<void> {
    const ended = current;
    current = undefined;
    if (!ended) return;
    await Promise.all([ended.data.close(), ended.index.close()]);
    if (ended.bytes === 0) await remove(ended.name);
  }

  async function remove(name: string): Promise<void> {
    await rm(join(dir, name), { force: true });
    await rm(join(dir, indexOf(name)), { force: true });
  }

  async function fileFor(): Promise<Current> {
    const isFull =
      current !== undefined &&
      (current.bytes >= maxBytes / filesAtLeast ||
        now() - current.since >= retentionMs / filesAtLeast);
    if (isFull) await end();
    current ??= await begin();
    return current;
  }

  async function writeOne({ request, line }: DebugLine): Promise<void> {
    const file = await fileFor();
    try {
      await file.data.appendFile(line);
      await file.index.appendFile(`${request} ${file.bytes} ${line.length}\n`);
      file.bytes += line.length;
    } catch (error) {
      // What a full disk took in part would make this file unreadable from there on.
      await file.data.truncate(file.bytes).catch(() => {});
      await end().catch(() => {});
      throw error;
    }
  }

  /** Oldest first. */
  async function list(): Promise<Found[]> {
    const names = (await unlessGone(readdir(dir))) ?? [];
    const found = names
      .filter((name) => ownName.test(name))
      .sort()
      .map(async (name) => {
        const file = await unlessGone(stat(join(dir, name)));
        return file && { name, bytes: file.size, at: file.mtimeMs };
      });
    return (await Promise.all(found)).filter((file) => file !== undefined);
  }

  async function clean(): Promise<void> {
    const files = await list();
    // With room for the file that is being written.
    const mostBytes = maxBytes - maxBytes / filesAtLeast;
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    for (const file of files) {
      if (file.at >= now() - retentionMs && bytes <= mostBytes) continue;
      await remove(file.name);
      bytes -= file.bytes;
    }
  }

  async function read(name: string, request: string): Promise<string[]> {
    const index = (await unlessGone(readFile(join(dir, indexOf(name)), 'utf8'))) ?? '';
    const places = index.split('\n').filter((line) => line.startsWith(`${request} `));
    if (places.length === 0) return [];
    const file = await unlessGone(open(join(dir, name), 'r'));
    if (!file) return [];
    try {
      const { size } = await file.stat();
      const lines: string[] = [];
      for (const place of places.slice(0, maxFound)) {
        const [, offset = 0, length = 0] = place.split(' ').map(Number);
        // A line of the index that was written in part.
        if (!(offset + length <= size)) continue;
        const bytes = Buffer.alloc(length);
        await file.read(bytes, 0, length, offset);
        const line = await gunzip(bytes).catch(() => undefined);
        if (line) lines.push(line.toString('utf8').trimEnd());
      }
      return lines;
    } finally {
      await file.close();
    }
  }

  return {
    async write(lines) {
      for (const line of lines) await writeOne(line);
    },

    async find(request, since) {
      const lines: string[] = [];
      for (const { name, at } of await list()) {
        if (at < since - clockSkewMs || lines.length >= maxFound) continue;
        lines.push(...(await read(name, request)));
      }
      return lines.slice(0, maxFound);
    },

    async usage() {
      const files = await list();
      return { files: files.length, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) };
    },

    clean,
    close: end,
  };
}

/** Undefined for a file that is not there: another clean may have removed it meanwhile. */
async function unlessGone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const indexOf = (name: string): string => name.slice(0, -dataSuffix.length) + indexSuffix;
