import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { Kysely, PostgresDialect, SqliteDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import pg from 'pg';
import { migrations } from './migrations.ts';
import { openSqlite } from './node-sqlite.ts';
import type { Database } from './schema.ts';

export type LedgerDatabase = Kysely<Database>;

const sqlite = 'sqlite:';
/** Milliseconds. */
const connectTimeoutMs = 5000;
/** Milliseconds of one statement. A report over millions of rows takes seconds; a lost network would take minutes. */
const queryTimeoutMs = 60_000;
const poolSize = 8;

/** Opens the database of this URL (config, `database.url`). It connects with the first query. */
export function openDatabase(url: string, onError: (error: Error) => void): LedgerDatabase {
  if (url.startsWith(sqlite)) {
    const path = url.slice(sqlite.length);
    return new Kysely({
      dialect: new SqliteDialect({
        database: () => {
          if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true });
          return Promise.resolve(openSqlite(path));
        },
      }),
    });
  }
  const pool = new pg.Pool({
    connectionString: url,
    max: poolSize,
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: queryTimeoutMs,
    statement_timeout: queryTimeoutMs,
    idle_in_transaction_session_timeout: queryTimeoutMs,
    keepAlive: true,
    types: { getTypeParser },
  });
  // An idle connection that breaks: the next query opens another one.
  pool.on('error', onError);
  return new Kysely({ dialect: new PostgresDialect({ pool }) });
}

/** Counts, times and money are below 2^53: as numbers, like SQLite's. */
const asNumber: ReadonlySet<number> = new Set([pg.types.builtins.INT8, pg.types.builtins.NUMERIC]);

const getTypeParser: pg.CustomTypesConfig['getTypeParser'] = (oid, format) =>
  asNumber.has(oid) ? Number : pg.types.getTypeParser(oid, format);

/** Brings the tables up to this version. Rejects if the database is away or refuses. */
export async function migrate(database: LedgerDatabase): Promise<void> {
  const migrator = new Migrator({
    db: database,
    provider: migrations,
    migrationTableName: 'millrace_migrations',
    migrationLockTableName: 'millrace_migrations_lock',
  });
  const { error } = await migrator.migrateToLatest();
  if (error instanceof Error) throw error;
  if (error !== undefined) throw new Error('the migration failed', { cause: error });
}

/**
 * Resolves when the tables are there; every caller awaits it before its first query. A database that is away at the start is
 * asked again with the next call.
 */
export function createMigrator(database: LedgerDatabase): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => {
    done ??= migrate(database).catch((error: unknown) => {
      done = undefined;
      throw error;
    });
    return done;
  };
}
