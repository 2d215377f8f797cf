import { write, writeSync } from 'node:fs';

/**
 * Where a logger's lines go: a file descriptor, written asynchronously, so that a full pipe or a full
 * disk stops neither the process nor its exit. pino's own destination raises a failed write as an
 * exception, and at the exit tries again without end.
 */
export type LogWriter = {
  /** Takes a line with its newline. Beyond the bound it is dropped and counted. */
  write(line: string): void;
  /** Writes what waits, as far as the descriptor takes it within `patienceMs`. Never throws. */
  flushSync(): void;
  /** Bytes that wait to be written. */
  readonly held: number;
  /** Lines that were dropped. */
  readonly dropped: number;
};

/** Bytes of one write. */
const batchBytes = 64 * 1024;
/** Milliseconds until a pipe that was full, or a disk, is tried again. */
const retryMs = 100;
/** Milliseconds that a process which ends waits for a full pipe. */
const patienceMs = 200;

export function createLogWriter(fd: number, maxBytes: number): LogWriter {
  let lines: Buffer[] = [];
  let held = 0;
  let dropped = 0;
  /** What a write that is under way, or has failed, is about; written up to `offset`. */
  let batch: Buffer = Buffer.alloc(0);
  let offset = 0;
  let isWriting = false;
  let isDue = false;
  let retry: NodeJS.Timeout | undefined;

  function takeBatch(): boolean {
    if (offset < batch.length) return true;
    let size = 0;
    let count = 0;
    for (; count < lines.length && size < batchBytes; count++) size += lines[count]?.length ?? 0;
    batch = Buffer.concat(lines.slice(0, count));
    lines = lines.slice(count);
    offset = 0;
    return batch.length > 0;
  }

  function go(): void {
    isDue = false;
    if (isWriting || retry || !takeBatch()) return;
    isWriting = true;
    write(fd, batch, offset, (error, bytes) => {
      isWriting = false;
      if (error) {
        retry ??= setTimeout(again, retryMs).unref();
        return;
      }
      offset += bytes;
      held -= bytes;
      go();
    });
  }

  function again(): void {
    retry = undefined;
    go();
  }

  const writer: LogWriter = {
    write(line) {
      const bytes = Buffer.from(line);
      if (held + bytes.length > maxBytes) {
        dropped += 1;
        return;
      }
      lines.push(bytes);
      held += bytes.length;
      if (isDue) return;
      isDue = true;
      // Not at once: what a process says before it ends is still here for the flush, and no thread's.
      queueMicrotask(go);
    },
    flushSync() {
      // A batch that a thread is writing at this moment is left to it: here it would be written twice.
      let rest = Buffer.concat(isWriting ? lines : [batch.subarray(offset), ...lines]);
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
      lines = rest.length > 0 ? [rest] : [];
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
