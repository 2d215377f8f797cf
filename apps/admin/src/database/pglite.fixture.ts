import { PGlite, types } from '@electric-sql/pglite';
import { Kysely, PostgresDialect } from 'kysely';
import type { PostgresPool } from 'kysely';
import type { LedgerDatabase } from './open.ts';

/** PostgreSQL in this process (WASM), behind the dialect that is used for a real one. */
export async function openPglite(): Promise<LedgerDatabase> {
  const server = await PGlite.create({
    parsers: { [types.INT8]: Number, [types.NUMERIC]: Number },
  });
  // There is one connection, so that transactions run one after the other.
  let free = Promise.resolve();
  const pool = {
    async connect() {
      const before = free;
      const { promise, resolve } = Promise.withResolvers<void>();
      free = promise;
      await before;
      return {
        async query(sql: string, parameters: unknown[]) {
          const { rows, affectedRows = 0 } = await server.query(sql, parameters);
          const [command = ''] = sql.trim().toUpperCase().split(/\s/);
          return { rows, rowCount: affectedRows, command };
        },
        release: resolve,
      };
    },
    end: () => server.close(),
  };
  return new Kysely({ dialect: new PostgresDialect({ pool: pool as unknown as PostgresPool }) });
}
