import { createHash } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** Another start uses the folder, or it is unusable: the message says which, in one sentence. */
export class DataFolderRefused extends Error {
  override readonly name = 'DataFolderRefused';
}

export type DataFolder = {
  /** Absolute, without symbolic links. */
  readonly path: string;
  readonly redis: {
    /** The folder of the append-only file. */
    readonly folder: string;
    readonly socket: string;
    readonly log: string;
    readonly pidFile: string;
  };
  /** The config of a start without one. */
  readonly ownConfig: string;
  /** The ledger's SQLite file. */
  readonly ledger: string;
  /** Releases the folder for the next start. Idempotent. */
  release(): void;
};

/** The kernels' limit for the path of a Unix socket: 108 bytes on Linux, 104 on macOS, less the 0. */
const longestSocketPath = 103;

/**
 * Creates the folder if necessary, and locks it for this process. Throws DataFolderRefused.
 *
 * The kernel holds the lock for the process (by way of SQLite, which supports that on every system), instead
 * of a file with a pid: the lock ends with the process however that ends, so there are no stale locks to
 * detect, and no races in taking one over. The pid is stored for people only.
 */
export function openDataFolder(requested: string): DataFolder {
  const path = prepare(requested);
  const pidFile = join(path, 'supervisor.pid');
  const lock = takeLock(path, pidFile);
  writeFileSync(pidFile, `${process.pid}\n`);
  const redisFolder = join(path, 'redis');
  mkdirSync(redisFolder, { recursive: true, mode: 0o700 });
  const socket = socketPath(path);
  let held = true;
  return {
    path,
    redis: {
      folder: redisFolder,
      socket,
      log: join(path, 'redis.log'),
      pidFile: join(path, 'redis.pid'),
    },
    ownConfig: join(path, 'config.yaml'),
    ledger: join(path, 'ledger.db'),
    release() {
      if (!held) return;
      held = false;
      if (dirname(socket) !== path) rmSync(dirname(socket), { recursive: true, force: true });
      lock.close();
    },
  };
}

function prepare(requested: string): string {
  try {
    // The folder contains prompts and answers.
    mkdirSync(requested, { recursive: true, mode: 0o700 });
    return realpathSync(requested);
  } catch (error) {
    throw new DataFolderRefused(`the data folder ${requested} cannot be used: ${codeOf(error)}`);
  }
}

function takeLock(path: string, pidFile: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(join(path, 'lock'), { timeout: 0 });
    database.exec('BEGIN EXCLUSIVE');
    return database;
  } catch (error) {
    database?.close();
    const isBusy = error instanceof Error && 'errcode' in error && error.errcode === 5;
    throw new DataFolderRefused(
      isBusy
        ? `the data folder ${path} is in use by another start${holder(pidFile)}; stop that one, or take another folder (--data DIR)`
        : `the data folder ${path} cannot be locked: ${error instanceof Error ? error.message : codeOf(error)}`,
    );
  }
}

function holder(pidFile: string): string {
  try {
    return ` (process ${readFileSync(pidFile, 'utf8').trim()})`;
  } catch {
    return ''; // it has not written its pid yet
  }
}

/**
 * The socket's path: in the folder, if that is short enough for a socket; otherwise in a private folder in
 * the system's temporary folder, with the same name at every start.
 */
function socketPath(path: string): string {
  const direct = join(path, 'redis.sock');
  if (Buffer.byteLength(direct) <= longestSocketPath) return direct;
  const hash = createHash('sha256').update(path).digest('hex').slice(0, 16);
  const { uid } = userInfo();
  const folder = join(tmpdir(), `millrace-${uid}-${hash}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid: owner } = lstatSync(folder);
  if (!lstatSync(folder).isDirectory() || owner !== uid) {
    throw new DataFolderRefused(
      `${folder}, which the socket of Redis needs, belongs to someone else`,
    );
  }
  chmodSync(folder, 0o700);
  const socket = join(folder, 'redis.sock');
  if (Buffer.byteLength(socket) > longestSocketPath) {
    throw new DataFolderRefused(
      `no path is short enough for a socket: neither ${direct} nor ${socket}`,
    );
  }
  return socket;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
