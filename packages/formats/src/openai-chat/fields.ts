import type { JsonObject } from '@millrace/shared/domain/json';

/** An object that is assembled from several JSON objects. */
export type Fields = Record<string, unknown>;

/** Copies the fields that are not `known`; an empty value never replaces a non-empty one. */
export function keepLast(target: Fields, source: JsonObject, known: ReadonlySet<string>): void {
  for (const field in source) {
    if (!known.has(field)) keepField(target, field, source[field]);
  }
}

export function keepField(target: Fields, field: string, value: unknown): void {
  // JSON.parse creates it as an ordinary field, but an assignment would set the prototype.
  if (field === '__proto__') return;
  if (!isEmpty(value) || !Object.hasOwn(target, field)) target[field] = value;
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === '') return true;
  if (typeof value !== 'object') return false;
  for (const _ in value) return false;
  return true;
}
