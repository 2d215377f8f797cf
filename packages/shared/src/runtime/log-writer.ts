import { write, writeSync } from 'node:fs';

/**
 * Writes a logger's lines to a file descriptor asynchronously, so that a full pipe or a full disk stops neither
 * the process nor its exit. pino's own destination throws when a write fails, and retries for ever at the exit.
 *
 * Every write occupies a thread of libuv's pool and wakes two threads, so a busy process gathers lines: the
 * first line after a pause is written at once, those that follow within `gatherMs` are written together. The
 * process's exit flushes them; a SIGKILL loses what was logged in the last `gatherMs`.
 */
export type LogWriter = {
  /** Accepts a line with its newline. Drops and counts it beyond the bound. */
  write(line: string): void;
  /** Writes the waiting lines, as far as the descriptor accepts them within `patienceMs`. Never throws. */
  flushSync(): void;
  /** Bytes that wait to be written. */
  readonly held: number;
  /** Lines that were dropped. */
  readonly dropped: number;
};

/** Bytes of one write; if this many wait, the next write begins at once. */
const batchBytes = 64 * 1024;
/** Milliseconds from the start of one write to that of the next, while fewer bytes wait. */
const gatherMs = 50;
/** Milliseconds until a pipe that was full, or a disk, is tried again. */
const retryMs = 100;
/** Milliseconds that an exiting process waits for a full pipe. */
const patienceMs = 200;

export function createLogWriter(fd: number, maxBytes: number): LogWriter {
  /** Lines that are in no batch yet, and their bytes. */
  let gathered = '';
  let gatheredBytes = 0;
  /** Bytes in `full`, the batch and `gathered`. */
  let held = 0;
  let dropped = 0;
  /** Batches that were gathered while an earlier one could not be written. */
  let full: Buffer[] = [];
  /** The batch of a write that is under way or has failed; written up to `offset`. */
  let batch: Buffer = Buffer.alloc(0);
  let offset = 0;
  let isWriting = false;
  let isDue = false;
  let lastWriteAt = -Infinity;
  /** Runs until the next write may begin: after a failed one, or while lines are gathered. */
  let retry: NodeJS.Timeout | undefined;
  let gathering: NodeJS.Timeout | undefined;

  function close(): void {
    if (gatheredBytes === 0) return;
    full.push(Buffer.from(gathered));
    gathered = '';
    gatheredBytes = 0;
  }

  function takeBatch(): boolean {
    if (offset < batch.length) return true;
    if (full.length === 0) close();
    batch = full.shift() ?? Buffer.alloc(0);
    offset = 0;
    return batch.length > 0;
  }

  function go(): void {
    isDue = false;
    if (isWriting || retry || !takeBatch()) return;
    clearTimeout(gathering);
    gathering = undefined;
    isWriting = true;
    lastWriteAt = performance.now();
    write(fd, batch, offset, (error, bytes) => {
      isWriting = false;
      if (error) {
        retry ??= setTimeout(again, retryMs).unref();
        return;
      }
      offset += bytes;
      held -= bytes;
      if (offset < batch.length || full.length > 0) go();
      else if (gatheredBytes > 0) gather();
    });
  }

  function again(): void {
    retry = undefined;
    go();
  }

  /** The next write is due `gatherMs` after the last one, and at once when that is past. */
  function gather(): void {
    if (isDue || isWriting || retry || gathering) return;
    const waitMs = lastWriteAt + gatherMs - performance.now();
    if (waitMs > 0) {
      gathering = setTimeout(go, waitMs).unref();
      return;
    }
    isDue = true;
    // Not at once, so that lines logged right before an exit are still here for the flush, not in another
    // thread.
    queueMicrotask(go);
  }

  const writer: LogWriter = {
    write(line) {
      const bytes = Buffer.byteLength(line);
      if (held + bytes > maxBytes) {
        dropped += 1;
        return;
      }
      gathered += line;
      gatheredBytes += bytes;
      held += bytes;
      if (gatheredBytes < batchBytes) gather();
      else {
        close();
        go();
      }
    },
    flushSync() {
      close();
      // A thread may be writing the batch at this moment: writing it here would write it twice.
      let rest = Buffer.concat(isWriting ? full : [batch.subarray(offset), ...full]);
      if (!isWriting) batch = Buffer.alloc(0);
      const deadline = performance.now() + patienceMs;
      while (rest.length > 0) {
        try {
          const bytes = writeSync(fd, rest);
          held -= bytes;
          rest = rest.subarray(bytes);
        } catch (error) {
          if (!isBusy(error) || performance.now() > deadline) break;
        }
      }
      full = rest.length > 0 ? [rest] : [];
      if (!isWriting) offset = 0;
    },
    get held() {
      return held;
    },
    get dropped() {
      return dropped;
    },
  };
  process.on('exit', writer.flushSync);
  return writer;
}

const isBusy = (error: unknown): boolean =>
  error instanceof Error && Reflect.get(error, 'code') === 'EAGAIN';
