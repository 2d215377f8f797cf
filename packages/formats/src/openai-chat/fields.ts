import type { JsonObject } from '@millrace/shared/domain/json';

/** An object that is being put together from several JSON objects. */
export type Fields = Record<string, unknown>;

/** Copies the fields that are not `known`, where an empty value never replaces one that is not. */
export function keepLast(target: Fields, source: JsonObject, known: ReadonlySet<string>): void {
  for (const field in source) {
    if (!known.has(field)) keepField(target, field, source[field]);
  }
}

export function keepField(target: Fields, field: string, value: unknown): void {
  // JSON.parse makes it a field like any other; to assign it would set the prototype.
  if (field === '__proto__') return;
  if (!isEmpty(value) || !Object.hasOwn(target, field)) target[field] = value;
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === '') return true;
  if (typeof value !== 'object') return false;
  for (const _ in value) return false;
  return true;
}
