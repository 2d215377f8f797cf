import { dirname, resolve } from 'node:path';
import { readFlags } from './flags.ts';
import { assemble, budgetNeedsLedger } from './load.ts';
import { readConfigText, type Finding } from './read-file.ts';
import { reload } from './reload.ts';
import { referencesOf, standIn, withReferences } from './stand-ins.ts';
import { ConfigError, type Config, type Role } from './types.ts';

/** The texts of a process' config file: at its start, and as it was taken over last. */
export type TextsInUse = { readonly started: string; readonly current: string };

/** Stand-ins take the place of all variables: `shown` writes `${NAME}` for them. */
export type Checked = {
  readonly problems: readonly Finding[];
  readonly warnings: readonly Finding[];
  /** Absent if the text has problems, or a variable where no stand-in fits. */
  readonly change?: {
    /** The config in use, and what would come of the text. */
    readonly before: Config;
    readonly after: Config;
    readonly needsRestart: readonly string[];
    shown(text: string): string;
  };
};

type Process = { argv: readonly string[]; env: NodeJS.ProcessEnv; role: Role };

/**
 * Checks texts as if each were the config file of the process with these arguments. Nothing that it returns has a value of the
 * environment. A variable that this process does not have is a warning: the text may be meant for another machine.
 */
export function createConfigCheck(
  options: Process & { inUse(): TextsInUse },
): (text: string) => Checked {
  let known: { texts: TextsInUse; config: Config | undefined } | undefined;
  function configInUse(): Config | undefined {
    const texts = options.inUse();
    if (known?.texts.started !== texts.started || known.texts.current !== texts.current) {
      known = { texts, config: read(texts) };
    }
    return known.config;
  }
  function read({ started, current }: TextsInUse): Config | undefined {
    const first = checkText(started, options).config;
    const last = current === started ? first : checkText(current, options).config;
    return first && last && reload(first, last).config;
  }

  return (text) => {
    const { problems, warnings, config: after } = checkText(text, options);
    if (!after) return { problems, warnings };
    const before = configInUse();
    if (!before) return { problems, warnings: [...warnings, wholeText(notComparable)] };
    try {
      const { needsRestart } = reload(before, after);
      const { started, current } = options.inUse();
      const names = [text, started, current].flatMap((one) =>
        referencesOf(one).map(({ name }) => name),
      );
      const shown = withReferences(names, options.env);
      return { problems, warnings, change: { before, after, needsRestart, shown } };
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return { problems: [...problems, ...error.problems.map(wholeText)], warnings };
    }
  };
}

const wholeText = (message: string): Finding => ({ line: 1, column: 1, field: '', message });

const notComparable =
  'the config in use has variables where only their values can be read, so what would change is not shown';

function checkText(text: string, { argv, env, role }: Process) {
  const references = referencesOf(text);
  const flags = readFlags(argv, env, role);
  const stand = references.map(({ name }) => [name, standIn(name, env[name])]);
  const contents = readConfigText(text, 'config', Object.fromEntries(stand));
  const unset = references.filter(({ name }) => env[name] === undefined);
  const warnings = unset.map(({ name, line, column }): Finding => {
    const message = `the environment variable ${name} is not set here`;
    return { line, column, field: '', message };
  });
  const shown = withReferences(
    references.map(({ name }) => name),
    env,
  );
  const inWords = (one: Finding): Finding => ({ ...one, message: shown(one.message) });
  if (contents.kind === 'broken') {
    const all = contents.findings.map(inWords);
    const needing = ({ message }: Finding) =>
      references.find(({ name }) => message.includes(`\${${name}}`));
    const unread = all.flatMap((one) => {
      const name = needing(one)?.name;
      if (name === undefined || env[name] === undefined) return [];
      const message = `not checked, because the value of \${${name}} is not read here; what would change is not shown`;
      return [{ ...one, message }];
    });
    return { problems: all.filter((one) => !needing(one)), warnings: [...warnings, ...unread] };
  }
  const config = assemble(contents.file, flags, dirname(resolve(flags.config ?? '.')));
  if (!config.database && config.keys?.some(({ budget }) => budget)) {
    const problem = { ...wholeText(budgetNeedsLedger), field: 'keys' };
    return { problems: [problem], warnings };
  }
  return { problems: [], warnings: [...warnings, ...contents.doubts.map(inWords)], config };
}
