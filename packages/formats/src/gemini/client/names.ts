import type { JsonObject } from '@millrace/shared/domain/json';

/**
 * A member by its name in Google's JSON. Protocol Buffers, by which Google reads a request, take the name with
 * underscores as well, and many examples use it.
 */
export function member(source: JsonObject, name: string): unknown {
  const value =
    source[name] ?? source[name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)];
  return value === null ? undefined : value;
}
