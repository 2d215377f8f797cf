/*
 * Tools of the Responses API can be grouped in namespaces, and a call then names both. In the inner form the name of the function
 * begins with that of its namespace.
 */

const separator = '__';

export const joinedName = (name: string, namespace: unknown): string =>
  typeof namespace === 'string' && namespace !== '' ? `${namespace}${separator}${name}` : name;

/** The members of a call of a function with this name. `namespaces`: those of its request. */
export function splitName(
  name: unknown,
  namespaces: readonly unknown[],
): { name: unknown; namespace?: string } {
  if (typeof name !== 'string') return { name };
  const namespace = namespaces.find(
    (one): one is string => typeof one === 'string' && name.startsWith(`${one}${separator}`),
  );
  if (namespace === undefined) return { name };
  return { name: name.slice(namespace.length + separator.length), namespace };
}
