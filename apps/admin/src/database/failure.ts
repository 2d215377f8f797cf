/*
 * Kinds of database errors. Only one of them is worth another try with the same values.
 */

/** The database refuses these values, and would again: a text, a number or a key that its columns do not take. */
export function isRejectedValue(error: unknown): boolean {
  if (error instanceof TypeError || error instanceof RangeError) return true;
  const { code, errcode } = (error ?? {}) as { code?: unknown; errcode?: unknown };
  // PostgreSQL: data exception, integrity constraint violation.
  if (typeof code === 'string' && /^2[23][0-9A-Z]{3}$/.test(code)) return true;
  // SQLite: the low byte is the primary code. TOOBIG, CONSTRAINT, MISMATCH, RANGE.
  return typeof errcode === 'number' && [18, 19, 20, 25].includes(errcode & 0xff);
}

/** The database cannot be reached, is full, or refuses its user: not a fault of a query. */
export function isUnavailable(error: unknown): boolean {
  const { code, errcode, message } = (error ?? {}) as Record<string, unknown>;
  // PostgreSQL: connection, authorization, resources, operator intervention, system error; Node's own codes.
  if (typeof code === 'string' && /^(08|28|3D|53|57|58)[0-9A-Z]{3}$|^E[A-Z]+$/.test(code))
    return true;
  // SQLite: PERM, BUSY, LOCKED, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB.
  if (typeof errcode === 'number') return [3, 5, 6, 8, 10, 11, 13, 14, 26].includes(errcode & 0xff);
  // pg's own time-outs have no code.
  return typeof message === 'string' && /timeout|terminated|Connection ended/i.test(message);
}
