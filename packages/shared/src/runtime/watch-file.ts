import { statSync } from 'node:fs';
import { stat } from 'node:fs/promises';

/*
 * Watches a file by looking at it once a second. Notifications of the system (inotify) are bound to a file's inode, so they
 * miss editors that replace the file, swapped symbolic links (a ConfigMap of Kubernetes), bind mounts and network file
 * systems, and their number per user is limited. docs/decisions/2026-11-30-config-reload.md.
 */

/** What identifies a version of a file; `missing` if there is none. */
export type FileVersion = string;

export type FileWatchOptions = {
  file: string;
  /** The version that is in use already. */
  known: FileVersion;
  /** The file is another one, or was changed, and has been at rest for `settleMs`. */
  onChange(): void;
  intervalMs?: number;
  /** Milliseconds without a further change, so that a file is not read while it is written. */
  settleMs?: number;
  /** The same for a file that has vanished: editors that replace a file remove the old one first. */
  missingMs?: number;
  look?: (file: string) => Promise<FileVersion>;
  /** Returns what cancels the timer. */
  setTimer?: (act: () => void, ms: number) => () => void;
};

/** A file that is written without a pause is read after so many looks. */
const mostLooks = 20;

export function watchFile(options: FileWatchOptions): { close(): void } {
  const { file, onChange, intervalMs = 1000, settleMs = 250, missingMs = 2000 } = options;
  const { look = versionNow, setTimer = startTimer } = options;
  let { known } = options;
  let isClosed = false;
  let cancel = (): void => {};

  const later = (act: () => Promise<void>, ms: number): void => {
    if (!isClosed) cancel = setTimer(() => void act(), ms);
  };

  async function rest(): Promise<void> {
    const seen = await look(file);
    if (seen === known) later(rest, intervalMs);
    else later(() => settle(seen, 1), pauseOf(seen));
  }

  async function settle(seen: FileVersion, looks: number): Promise<void> {
    const now = await look(file);
    if (isClosed) return;
    if (now !== seen && looks < mostLooks) {
      later(() => settle(now, looks + 1), pauseOf(now));
      return;
    }
    const isChanged = now !== known;
    known = now;
    later(rest, intervalMs);
    if (isChanged) onChange();
  }

  const pauseOf = (version: FileVersion) => (version === missing ? missingMs : settleMs);

  later(rest, intervalMs);
  return {
    close() {
      isClosed = true;
      cancel();
    },
  };
}

function startTimer(act: () => void, ms: number): () => void {
  const timer = setTimeout(act, ms).unref();
  return () => clearTimeout(timer);
}

const missing: FileVersion = 'missing';

/** Follows symbolic links. `ctime` also changes if a program sets the other times back. */
type Stats = { dev: bigint; ino: bigint; size: bigint; mtimeNs: bigint; ctimeNs: bigint };

const versionOf = ({ dev, ino, size, mtimeNs, ctimeNs }: Stats): FileVersion =>
  [dev, ino, size, mtimeNs, ctimeNs].join(':');

const unreadable = (error: unknown): FileVersion => {
  const code = String((error as NodeJS.ErrnoException).code);
  return code === 'ENOENT' || code === 'ENOTDIR' ? missing : `unreadable: ${code}`;
};

const versionNow = (file: string): Promise<FileVersion> =>
  stat(file, { bigint: true }).then(versionOf, unreadable);

/** The version that this process has read, if it read the file once, at its start. */
export function versionAtStart(file: string): FileVersion {
  try {
    const stats = statSync(file, { bigint: true });
    // Changed since the process began: it may have read the version before.
    return Number(stats.ctimeMs) >= performance.timeOrigin ? 'unknown' : versionOf(stats);
  } catch (error) {
    return unreadable(error);
  }
}
