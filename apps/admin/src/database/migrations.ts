import { sql } from 'kysely';
import type { Kysely } from 'kysely';
import type { Migration, MigrationProvider } from 'kysely/migration';

/*
 * Each migration is final once it is released: a change is a new one at the end. Both databases run the same. SQLite runs it
 * without a transaction, so that a process that is killed leaves it half done: each step has to be repeatable.
 */

const big = 'bigint' as const;
const small = 'integer' as const;

const firstTables: Migration = {
  async up(db: Kysely<unknown>) {
    await db.schema
      .createTable('millrace_requests')
      .ifNotExists()
      .addColumn('id', 'varchar(64)', (column) => column.primaryKey())
      .addColumn('created_at', big, (column) => column.notNull())
      .addColumn('ended_at', big, (column) => column.notNull())
      .addColumn('hour', big, (column) => column.notNull())
      .addColumn('day', big, (column) => column.notNull())
      .addColumn('key_id', 'text')
      .addColumn('user_id', 'text')
      .addColumn('model', 'text', (column) => column.notNull())
      .addColumn('api', 'text', (column) => column.notNull())
      .addColumn('stream', small, (column) => column.notNull())
      .addColumn('status', 'text', (column) => column.notNull())
      .addColumn('finish_reason', 'text')
      .addColumn('error_code', 'text')
      .addColumn('error_message', 'text')
      .addColumn('provider', 'text')
      .addColumn('target_model', 'text')
      .addColumn('attempts', small, (column) => column.notNull())
      .addColumn('rescues', small, (column) => column.notNull())
      .addColumn('max_gap_ms', small)
      .addColumn('queue_ms', small)
      .addColumn('first_token_ms', small)
      .addColumn('duration_ms', small, (column) => column.notNull())
      .addColumn('input_tokens', big, (column) => column.notNull())
      .addColumn('cached_tokens', big, (column) => column.notNull())
      .addColumn('output_tokens', big, (column) => column.notNull())
      .addColumn('reasoning_tokens', big, (column) => column.notNull())
      .addColumn('estimated', small, (column) => column.notNull())
      .addColumn('incomplete', small, (column) => column.notNull())
      .addColumn('cost', big)
      .addColumn('prompt_hash', 'text')
      .addColumn('metadata', 'text')
      .execute();
    await db.schema
      .createTable('millrace_attempts')
      .ifNotExists()
      .addColumn('request_id', 'varchar(64)', (column) => column.notNull())
      .addColumn('attempt', small, (column) => column.notNull())
      .addColumn('run', small, (column) => column.notNull())
      .addColumn('provider', 'text', (column) => column.notNull())
      .addColumn('model', 'text', (column) => column.notNull())
      .addColumn('mode', 'text', (column) => column.notNull())
      .addColumn('started_at', big, (column) => column.notNull())
      .addColumn('first_token_at', big)
      .addColumn('ended_at', big)
      .addColumn('outcome', 'text', (column) => column.notNull())
      .addColumn('detail', 'text')
      .addColumn('input_tokens', big, (column) => column.notNull())
      .addColumn('cached_tokens', big, (column) => column.notNull())
      .addColumn('output_tokens', big, (column) => column.notNull())
      .addColumn('reasoning_tokens', big, (column) => column.notNull())
      .addColumn('estimated', small, (column) => column.notNull())
      .addColumn('usage', 'text')
      .addColumn('cost', big)
      .addPrimaryKeyConstraint('millrace_attempts_key', ['request_id', 'attempt'])
      .execute();
    // The newest first, a page at a time.
    await db.schema
      .createIndex('millrace_requests_by_time')
      .ifNotExists()
      .on('millrace_requests')
      .columns(['created_at', 'id'])
      .execute();
    // Everything that a report needs, so that it reads the index alone.
    await db.schema
      .createIndex('millrace_requests_for_usage')
      .ifNotExists()
      .on('millrace_requests')
      .columns([...usageColumns])
      .execute();
    await db.schema
      .createIndex('millrace_requests_incomplete')
      .ifNotExists()
      .on('millrace_requests')
      .columns(['incomplete', 'ended_at'])
      .execute();
  },
};

const usageColumns = [
  'day',
  'hour',
  'created_at',
  'key_id',
  'user_id',
  'model',
  'provider',
  'status',
  'rescues',
  'input_tokens',
  'cached_tokens',
  'output_tokens',
  'cost',
  'estimated',
] as const;

const auditTable: Migration = {
  async up(db: Kysely<unknown>) {
    await db.schema
      .createTable('millrace_audit')
      .ifNotExists()
      .addColumn('id', 'varchar(64)', (column) => column.primaryKey())
      .addColumn('at', big, (column) => column.notNull())
      .addColumn('actor', 'text', (column) => column.notNull())
      .addColumn('address', 'text')
      .addColumn('action', 'text', (column) => column.notNull())
      .addColumn('target', 'text')
      .addColumn('outcome', 'text', (column) => column.notNull())
      .addColumn('detail', 'text')
      .execute();
    await db.schema
      .createIndex('millrace_audit_by_time')
      .ifNotExists()
      .on('millrace_audit')
      .columns(['at', 'id'])
      .execute();
    // Refused keys are most of the rows, and an operator searches for the others.
    await db.schema
      .createIndex('millrace_audit_by_action')
      .ifNotExists()
      .on('millrace_audit')
      .columns(['action', 'at', 'id'])
      .execute();
  },
};

/** What keys have spent is read after each batch of requests: from this index alone, for one key. */
const spendingIndex: Migration = {
  async up(db: Kysely<unknown>) {
    await db.schema
      .createIndex('millrace_requests_for_budgets')
      .ifNotExists()
      .on('millrace_requests')
      .columns(['key_id', 'day', 'input_tokens', 'output_tokens', 'cost'])
      // Otherwise SQLite takes it for reports by key and day, which it does not cover: they then read every row.
      .where('key_id', 'is not', null)
      .execute();
  },
};

const sessionColumn: Migration = {
  async up(db: Kysely<unknown>) {
    // PostgreSQL may have tables of this name in several schemas; SQLite has no `if not exists` for a column.
    const isPostgres = db.getExecutor().adapter.supportsTransactionalDdl;
    const tables = isPostgres ? [] : await db.introspection.getTables();
    const requests = tables.find(({ name }) => name === 'millrace_requests');
    if (isPostgres) {
      await sql`alter table millrace_requests add column if not exists session text`.execute(db);
    } else if (!requests?.columns.some(({ name }) => name === 'session')) {
      await db.schema.alterTable('millrace_requests').addColumn('session', 'text').execute();
    }
    // Most requests have none.
    await db.schema
      .createIndex('millrace_requests_by_session')
      .ifNotExists()
      .on('millrace_requests')
      .columns(['session', 'created_at', 'id'])
      .where('session', 'is not', null)
      .execute();
  },
};

const rescuedIndex: Migration = {
  async up(db: Kysely<unknown>) {
    // Few requests have a rescue, and no report takes this index in place of the one that covers it.
    await db.schema
      .createIndex('millrace_requests_rescued')
      .ifNotExists()
      .on('millrace_requests')
      .columns(['created_at', 'id'])
      .where(sql.ref('rescues'), '>', 0)
      .execute();
  },
};

const gapIndex: Migration = {
  async up(db: Kysely<unknown>) {
    await db.schema
      .createIndex('millrace_requests_with_gap')
      .ifNotExists()
      .on('millrace_requests')
      .columns(['created_at', 'id'])
      .where(sql.ref('max_gap_ms'), 'is not', null)
      .execute();
  },
};

export const migrations: MigrationProvider = {
  getMigrations: () =>
    Promise.resolve({
      '2026-11-30-requests': firstTables,
      '2026-11-30-requests-audit': auditTable,
      '2026-11-30-spending': spendingIndex,
      '2026-12-01-session': sessionColumn,
      '2026-12-01-session-rescued': rescuedIndex,
      '2026-12-01-session-rescued-gap': gapIndex,
    }),
};
