import type { CompiledQuery, Insertable, Kysely } from 'kysely';
import type { Database } from './schema.ts';

/** Rows of one statement, the most first: a statement is compiled once for each size, by Kysely and by the database. */
const sizes = [100, 10, 1] as const;

export type InsertOptions<Table extends keyof Database> = {
  table: Table;
  /** The primary key. */
  key: readonly (keyof Database[Table] & string)[];
  /** The columns that are set if the row is there already. */
  update: readonly (keyof Database[Table] & string)[];
};

/** Executes compiled queries: a database, or a transaction of it. */
type Executor = Pick<Kysely<Database>, 'executeQuery'>;

/**
 * An insert of many rows that all have the same columns, in any order. Of a row that is there already it sets the columns of
 * `update`. Building and compiling the query anew for each batch took more time than the database does.
 */
export function createInsert<Table extends keyof Database>(
  database: Kysely<Database>,
  { table, key, update }: InsertOptions<Table>,
): (executor: Executor, rows: readonly Database[Table][]) => Promise<void> {
  type Statement = { compiled: CompiledQuery; columns: (keyof Database[Table])[] };
  const statements = new Map<number, Statement>();

  function statementOf(size: number, like: Database[Table]): Statement {
    let statement = statements.get(size);
    if (!statement) {
      const values = Array.from({ length: size }, () => like as Insertable<Database[Table]>);
      const compiled = database
        .insertInto(table)
        .values(values)
        .onConflict((conflict) =>
          conflict
            .columns(key)
            .doUpdateSet(
              (eb) =>
                Object.fromEntries(
                  update.map((name) => [name, eb.ref(`excluded.${name}` as never)]),
                ) as never,
            ),
        )
        .compile();
      statement = { compiled, columns: Object.keys(like) as (keyof Database[Table])[] };
      statements.set(size, statement);
    }
    return statement;
  }

  return async (executor, rows) => {
    let next = 0;
    for (const size of sizes) {
      while (rows.length - next >= size) {
        const part = rows.slice(next, next + size);
        const { compiled, columns } = statementOf(size, part[0] as Database[Table]);
        const parameters = part.flatMap((row) => columns.map((name) => row[name]));
        await executor.executeQuery({ ...compiled, parameters });
        next += size;
      }
    }
  };
}
