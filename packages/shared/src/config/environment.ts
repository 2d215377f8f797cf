/**
 * `${NAME}` in the config file. `{` and `}` have a meaning in YAML's `{ … }`, so a reference is masked before
 * the file is parsed, character by character so that positions stay correct, and filled in afterwards in the
 * parsed strings: the value of a variable is never parsed as YAML. `$${` is a literal `${`.
 */
export function maskReferences(text: string): string {
  return text.replace(/(\$?)\$\{([^{}"'\n]*)\}/g, (_all, escaped: string, name: string) =>
    escaped
      ? `${escapeMark}${escapeMark}${openMark}${name}${closeMark}`
      : `${openMark}${openMark}${name}${closeMark}`,
  );
}

/** Characters that replace masked syntax; a file that contains them is rejected. */
export const reservedCharacters = /[\uE000-\uE002]/;

export type Filled = {
  readonly text: string;
  /** The variables that were inserted. */
  readonly names: readonly string[];
  readonly problems: readonly string[];
};

export function fillReferences(masked: string, env: NodeJS.ProcessEnv): Filled {
  const names: string[] = [];
  const problems: string[] = [];
  if (masked.includes('${')) problems.push('expected a } after ${NAME (a plain ${ is written $${)');
  const text = masked
    .replace(reference, (_all, name: string) => {
      names.push(name);
      const value = env[name];
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
        problems.push(
          `expected a variable's name between \${ and }, found ${JSON.stringify(name)}`,
        );
      } else if (value === undefined) {
        problems.push(`the environment variable ${name} is not set`);
      }
      return value ?? '';
    })
    .replace(escapedReference, '${$1}');
  return { text, names, problems };
}

/** The text as it was before it was masked. */
export function unmask(masked: string): string {
  return masked.replace(reference, '${$1}').replace(escapedReference, '$${$1}');
}

const openMark = '\uE000';
const closeMark = '\uE001';
const escapeMark = '\uE002';
const reference = /\uE000\uE000([^\uE001]*)\uE001/g;
const escapedReference = /\uE002\uE002\uE000([^\uE001]*)\uE001/g;
