import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readSync,
  statfsSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { bytes } from '../output/format.ts';
import { ok, problem, reasonOf, warning } from './check.ts';
import type { Check } from './check.ts';

const name = 'database';
const sqlite = 'sqlite:';
/** Bytes of free disk space below which it is a warning. */
const littleSpace = 1024 ** 3;

/** The first bytes of every database of SQLite. */
const sqliteHeader = 'SQLite format 3\0';

/** The database of the ledger. */
export async function checkDatabase(url: string | undefined, timeoutMs: number): Promise<Check> {
  if (url === undefined) {
    return ok(
      name,
      'none is configured: a fleet records no requests; npm start has a file of its own',
    );
  }
  return url.startsWith(sqlite)
    ? checkSqlite(url.slice(sqlite.length))
    : checkPostgres(url, timeoutMs);
}

/** Reads the header alone: SQLite would create files beside the database that its service may not write. */
function checkSqlite(path: string): Check {
  let place = nearestFolder(path);
  try {
    // SQLite keeps its log in a file beside the database.
    accessSync(place, constants.W_OK);
    if (existsSync(path)) accessSync((place = path), constants.W_OK);
  } catch (error) {
    const advice = 'Let the control plane write there, or name another file in database.url.';
    return problem(name, `${place} cannot be written: ${reasonOf(error)}`, advice);
  }
  const { bavail, bsize } = statfsSync(place);
  const free = `${bytes(bavail * bsize)} free`;
  if (!existsSync(path)) return ok(name, `SQLite, ${path}: the control plane creates it (${free})`);
  try {
    const header = readHeader(path);
    // An empty file is an empty database.
    if (header !== '' && header !== sqliteHeader) throw new Error('it is no database of SQLite');
  } catch (error) {
    const advice = 'Move the file away (the control plane creates a new one), or restore a copy.';
    return problem(name, `${path} cannot be opened: ${reasonOf(error)}`, advice);
  }
  const found = `SQLite, ${path} (${free})`;
  if (bavail * bsize >= littleSpace) return ok(name, found);
  return warning(name, found, 'Make room, or shorten database.retention.');
}

function readHeader(path: string): string {
  const file = openSync(path, 'r');
  try {
    const bytesRead = Buffer.alloc(sqliteHeader.length);
    return bytesRead.toString('latin1', 0, readSync(file, bytesRead, 0, bytesRead.length, 0));
  } finally {
    closeSync(file);
  }
}

function nearestFolder(path: string): string {
  const folder = dirname(path);
  return existsSync(folder) || folder === dirname(folder) ? folder : nearestFolder(folder);
}

async function checkPostgres(url: string, timeoutMs: number): Promise<Check> {
  const { hostname, port, pathname } = new URL(url);
  const at = `${hostname}:${port === '' ? '5432' : port}${pathname}`;
  const { default: pg } = await import('pg');
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
  });
  // A connection that breaks rejects the query as well.
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
    return ok(name, `PostgreSQL ${rows[0]?.server_version ?? ''} at ${at}`);
  } catch (error) {
    const advice =
      'Start it, or correct database.url or DATABASE_URL. Until then streams are served, and the ledger waits in Redis.';
    return problem(name, `${at} cannot be used: ${reasonOf(error)}`, advice);
  } finally {
    await client.end().catch(() => {});
  }
}
