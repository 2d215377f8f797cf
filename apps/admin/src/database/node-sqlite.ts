import { DatabaseSync } from 'node:sqlite';
import type { SQLInputValue, StatementSync } from 'node:sqlite';
import type { SqliteDatabase, SqliteStatement } from 'kysely';

/** Node's own SQLite in the form that Kysely's SQLite dialect expects of a driver. */
export function openSqlite(path: string): SqliteDatabase {
  const database = new DatabaseSync(path, { timeout: busyMs });
  // WAL: the API reads while the consumer writes. NORMAL: a power failure may lose the last entries, which Redis still has.
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON');
  const prepared = new Map<string, Statement>();
  return {
    close: () => database.close(),
    prepare(sql) {
      // The inserts have parameters in fixed numbers, and come again and again; queries with a reader may be under way twice.
      const statement = prepared.get(sql) ?? new Statement(database.prepare(sql));
      if (statement.reader) return statement;
      // The one that was used last is the last one of the map.
      prepared.delete(sql);
      prepared.set(sql, statement);
      const [oldest = ''] = prepared.keys();
      if (prepared.size > maxPrepared) prepared.delete(oldest);
      return statement;
    },
  };
}

/** Statements that are kept compiled: some 12 inserts, and begin, commit and rollback. */
const maxPrepared = 64;

/** Milliseconds to wait for another process that writes. */
const busyMs = 5000;

class Statement implements SqliteStatement {
  readonly reader: boolean;
  private readonly statement: StatementSync;

  constructor(statement: StatementSync) {
    this.statement = statement;
    this.reader = statement.columns().length > 0;
  }

  all(parameters: readonly unknown[]): unknown[] {
    return this.statement.all(...(parameters as SQLInputValue[]));
  }

  run(parameters: readonly unknown[]) {
    return this.statement.run(...(parameters as SQLInputValue[]));
  }

  iterate(parameters: readonly unknown[]): IterableIterator<unknown> {
    return this.statement.iterate(...(parameters as SQLInputValue[]));
  }
}
