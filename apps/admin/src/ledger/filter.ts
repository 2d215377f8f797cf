import { sql } from 'kysely';
import type { ExpressionBuilder, SelectQueryBuilder, SqlBool } from 'kysely';
import type { Database, RequestRow } from '../database/schema.ts';

/** Values of a column: one of `some`, unless that is empty, and none of `not`. */
export type Choice = { some: readonly string[]; not: readonly string[] };

export const only = (...some: string[]): Choice => ({ some, not: [] });

/** Which requests. Times are milliseconds since the epoch; `from` is included, `to` is not. */
export type Filter = {
  from?: number | undefined;
  to?: number | undefined;
  key?: Choice | undefined;
  user?: string | undefined;
  session?: string | undefined;
  model?: Choice | undefined;
  provider?: Choice | undefined;
  /** How they ended; `rescued` means those with a rescue, however they ended. */
  status?: Choice | undefined;
  /** Codes of errors. */
  error?: Choice | undefined;
  /** What an id, a session, a user, a hash of a prompt or the text of an error contains, in whichever case. */
  text?: string | undefined;
};

export type Requests<O> = SelectQueryBuilder<Database, 'millrace_requests', O>;
type Expressions = ExpressionBuilder<Database, 'millrace_requests'>;

/** Values reach the database as parameters only, never as a part of the SQL. */
export function filtered<O>(query: Requests<O>, filter: Filter): Requests<O> {
  const { from, to, key, user, session, model, provider, status, error, text } = filter;
  let result = query;
  // The index for reports has the day.
  if (from !== undefined) {
    result = result.where('created_at', '>=', from).where('day', '>=', startOfDay(from));
  }
  if (to !== undefined) result = result.where('created_at', '<', to).where('day', '<', to);
  if (user !== undefined) result = result.where('user_id', '=', user);
  if (session !== undefined) result = result.where('session', '=', session);
  result = chosen(result, 'key_id', key);
  result = chosen(result, 'model', model);
  result = chosen(result, 'provider', provider);
  result = chosen(result, 'error_code', error);
  if (status !== undefined) result = result.where((eb) => eb.and(statusConditions(eb, status)));
  if (text !== undefined) result = result.where((eb) => contains(eb, text));
  return result;
}

const dayMs = 86_400_000;
const startOfDay = (ms: number): number => Math.floor(ms / dayMs) * dayMs;

function chosen<O>(
  query: Requests<O>,
  column: 'key_id' | 'model' | 'provider' | 'error_code',
  choice: Choice | undefined,
): Requests<O> {
  let result = query;
  if (choice && choice.some.length > 0) result = result.where(column, 'in', choice.some);
  if (choice && choice.not.length > 0) {
    // A request without a value is not one of them.
    result = result.where((eb) =>
      eb.or([eb(column, 'is', null), eb(column, 'not in', choice.not)]),
    );
  }
  return result;
}

function statusConditions(eb: Expressions, { some, not }: Choice) {
  const isRescued = eb('rescues', '>', 0);
  const is = (word: string) => (word === 'rescued' ? isRescued : eb('status', '=', word));
  return [
    ...(some.length > 0 ? [eb.or(some.map(is))] : []),
    ...not.map((word) => eb.not(is(word))),
  ];
}

const searched = [
  'id',
  'session',
  'user_id',
  'prompt_hash',
  'error_message',
] as const satisfies (keyof RequestRow)[];

function contains(eb: Expressions, text: string) {
  const pattern = `%${text.replaceAll(/[%_!]/g, '!$&')}%`;
  return eb.or(
    searched.map(
      (column) => sql<SqlBool>`lower(${eb.ref(column)}) like lower(${pattern}) escape '!'`,
    ),
  );
}
