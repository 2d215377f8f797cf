import { createHash } from 'node:crypto';

/*
 * Values that take the place of those in the environment where a config is only checked and shown: an operator's session must not
 * read what the control plane's environment holds.
 */

/** A reference of a text, at its first place. */
export type Reference = { readonly name: string; readonly line: number; readonly column: number };

/** More variables than any config names. */
const maxReferences = 1000;

/** The variables that a text names, each once. */
export function referencesOf(text: string): Reference[] {
  const found = new Map<string, Reference>();
  let line = 1;
  let lineStart = 0;
  for (const { 1: escaped, 2: name = '', index } of text.matchAll(
    /(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g,
  )) {
    if (escaped || found.has(name)) continue;
    for (;;) {
      const end = text.indexOf('\n', lineStart);
      if (end < 0 || end >= index) break;
      line += 1;
      lineStart = end + 1;
    }
    found.set(name, { name, line, column: index - lineStart + 1 });
    if (found.size >= maxReferences) break;
  }
  return [...found.values()];
}

/**
 * A value for a variable that passes the same checks, as far as a glance at the form of the real one can tell: of that it tells
 * whether it is a number, a duration, a size, a digest, or the URL of which scheme.
 */
export function standIn(name: string, value: string | undefined): string {
  const token = `${name}${suffix}`;
  if (value === undefined) return `https://${token}`;
  const [, scheme] = /^(https?|rediss?|postgres(?:ql)?):\/\//.exec(value) ?? [];
  if (scheme !== undefined) return `${scheme}://${token}`;
  if (value.startsWith('unix:///')) return `unix:///${token}`;
  if (value.startsWith('sqlite:')) return `sqlite:${token}`;
  const [, unit] = /^\d{1,9}(|ms|s|m|h|d|KiB|MiB|GiB)$/.exec(value) ?? [];
  if (unit !== undefined) return `1${unit}`;
  if (/^(?:true|false)$/.test(value)) return 'true';
  const digest = createHash('sha256').update(name).digest();
  if (value.startsWith('whsec_')) return `whsec_${digest.toString('base64')}`;
  if (/^[0-9a-f]{64}$/i.test(value)) return digest.toString('hex');
  return token;
}

/** The stand-in of a text is one that no config has by chance, and that is long enough for a secret. */
const suffix = '.environment.invalid';

/** Writes `${NAME}` where a text has the stand-in of that variable. */
export function withReferences(
  names: Iterable<string>,
  env: NodeJS.ProcessEnv,
): (text: string) => string {
  // A host is shown in lower case.
  const known = new Map([...names].map((name) => [name.toLowerCase(), name]));
  return (text) =>
    text.replace(shownStandIn, (all, before: string, lower: string) => {
      const name = known.get(lower.toLowerCase());
      if (name === undefined) return all;
      const isWithScheme = standIn(name, env[name]).includes(':/');
      return `${isWithScheme ? '' : before}\${${name}}`;
    });
}

/** With the scheme before it; a second scheme in a URL has lost its colon. */
const shownStandIn =
  /((?:\b(?:https?|rediss?|unix|postgres(?:ql)?):?\/{2,3})?)\b([A-Za-z_][A-Za-z0-9_]*)\.environment\.invalid\b/gi;
