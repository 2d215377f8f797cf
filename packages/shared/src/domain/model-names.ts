import type { Target } from './request.ts';

/*
 * Names of models. An alias of the config may end with `*` (`openai/*`): it serves every name that begins with the part before
 * it, and the rest of the name takes the place of the `*` in the models of its targets. An exact alias wins over all of these,
 * and of these the longest wins.
 */

/** How a name that a client asked for is served. */
export type ServedModel<M> = {
  /** Of the config; it names the model wherever state is kept, because clients can invent any number of names. */
  readonly alias: string;
  readonly model: M;
  /** What `*` stands for; undefined for an exact alias. */
  readonly rest: string | undefined;
};

/**
 * Such a name, and its rest, is passed on to providers, by some formats in a path, and shown in headers and logs: the characters of
 * known names of models, without segments that lead out of a path.
 */
const passedOn = /^(?!(?:.*\/)?\.{1,2}(?:\/|$))[\w.:/@+~=,!$'()-]{1,256}$/;

export const isPattern = (name: string): boolean => name.includes('*');

/** Whether a name of the config has its `*`, if any, at its end. */
export const isAlias = (name: string): boolean => !name.slice(0, -1).includes('*');

/** Undefined: no alias of the config serves the name. */
export function serveModel<M>(
  models: Readonly<Record<string, M>>,
  name: string,
): ServedModel<M> | undefined {
  const exact = Object.hasOwn(models, name) ? models[name] : undefined;
  if (exact !== undefined) {
    return isPattern(name) ? undefined : { alias: name, model: exact, rest: undefined };
  }
  const alias = wildcardsOf(models).find((one) => name.startsWith(one.slice(0, -1)));
  if (alias === undefined || !passedOn.test(name)) return undefined;
  const rest = name.slice(alias.length - 1);
  const model = models[alias];
  // The rest may begin in the middle of a segment.
  return passedOn.test(rest) && model !== undefined ? { alias, model, rest } : undefined;
}

const known = new WeakMap<object, readonly string[]>();

/** The aliases with a `*`, the longest first. */
function wildcardsOf(models: Readonly<Record<string, unknown>>): readonly string[] {
  let found = known.get(models);
  if (!found) {
    found = Object.keys(models)
      .filter((alias) => alias.endsWith('*'))
      .toSorted((one, other) => other.length - one.length);
    known.set(models, found);
  }
  return found;
}

/** The targets that serve the name, with the names of their providers. */
export const targetsOf = <T extends Target>(targets: readonly T[], rest: string | undefined): T[] =>
  targets.map((target) =>
    rest === undefined || !isPattern(target.model)
      ? target
      : { ...target, model: target.model.replace('*', () => rest) },
  );

/** The target of the config that such a target comes from: an exact one, else that with the longest pattern. */
export function configuredTarget<T extends Target>(
  targets: readonly T[],
  { provider, model }: Target,
): T | undefined {
  const own = targets.filter((one) => one.provider === provider);
  return (
    own.find((one) => one.model === model) ??
    own
      .filter((one) => restOf(one.model, model) !== undefined)
      .toSorted((one, other) => other.model.length - one.model.length)[0]
  );
}

/** What `*` stands for in a model of the config, so that it becomes `model`; undefined if nothing makes it that. */
export function restOf(pattern: string, model: string): string | undefined {
  const [before = '', after] = pattern.split('*');
  if (after === undefined || model.length <= before.length + after.length) return undefined;
  return model.startsWith(before) && model.endsWith(after)
    ? model.slice(before.length, model.length - after.length)
    : undefined;
}

/** Whether a name of a key's list (`gpt-4o`, `openai/*`, `*`) stands for this name of a client. */
export const standsFor = (listed: string, name: string): boolean =>
  listed.endsWith('*') ? name.startsWith(listed.slice(0, -1)) : listed === name;

/** Whether any name that an entry of a key's list stands for can be served by these aliases. */
export function mayStandFor(listed: string, aliases: readonly string[]): boolean {
  if (listed === '*') return true;
  const wildcards = aliases.filter((alias) => alias.endsWith('*'));
  const begins = (one: string, other: string) => one.startsWith(other.slice(0, -1));
  if (!listed.endsWith('*')) {
    return (
      aliases.includes(listed) || wildcards.some((alias) => restOf(alias, listed) !== undefined)
    );
  }
  return (
    aliases.some((alias) => begins(alias, listed)) || wildcards.some((one) => begins(listed, one))
  );
}
