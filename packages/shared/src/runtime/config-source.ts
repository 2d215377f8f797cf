import { isDeepStrictEqual } from 'node:util';
import { changedParts, hashOf, reload } from '../config/reload.ts';
import { ConfigError } from '../config/types.ts';
import type { Config, ProcessLimits } from '../config/types.ts';
import type { Logger } from './logger.ts';

/** What made a process read its config again. */
export type ReloadCause = 'SIGHUP' | 'supervisor' | 'file changed' | 'operator' | 'unknown model';

/** How a process stands to the config file. Times are in milliseconds since the epoch. */
export type ConfigState = {
  /** Of the config that is in use. */
  readonly hash: string;
  /** When it was taken over. */
  readonly since: number;
  /** Fields of it whose change takes effect with a restart only. */
  readonly needsRestart: readonly string[];
  /** Why the file, as it was read last, was refused; empty if it is in use. Without secrets. */
  readonly problems: readonly string[];
  readonly refusedAt?: number;
  /** What the last reload changed, as the file calls it; absent: none since the start. */
  readonly changed?: readonly string[];
};

/**
 * Prepares a change and returns what applies it. Whatever may fail belongs into the preparation, which refuses the new
 * config by a ConfigError; applying must not fail.
 */
export type ConfigListener = (next: Config, before: Config) => () => void;

export type ConfigSource = {
  /** The config in use; deeply frozen. A request that keeps what it began with holds a part of it. */
  readonly current: Config;
  /** Always the config in use: each of its sections is read from `current`. */
  readonly live: Config;
  /** The limits in use, each read when it is needed. */
  readonly limits: ProcessLimits;
  readonly state: ConfigState;
  /** Listeners are called in the order of their registration. */
  onChange(listener: ConfigListener): void;
  /** Reads and validates the file; takes the config over as a whole, or keeps the old one. Never throws a ConfigError. */
  read(cause: ReloadCause): 'applied' | 'unchanged' | 'refused';
};

export type ConfigSourceOptions = {
  /** The config at the start. */
  started: Config;
  /** Reads the config anew. Throws a ConfigError. */
  load(): Config;
  logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  now?(): number;
};

export function createConfigSource(options: ConfigSourceOptions): ConfigSource {
  const { started, load, logger, now = Date.now } = options;
  const listeners: ConfigListener[] = [];
  let current = started;
  /** As the file had it: with the fields that need a restart. */
  let loaded = started;
  let state: ConfigState = { hash: hashOf(started), since: now(), needsRestart: [], problems: [] };

  function refuse(error: unknown, cause: ReloadCause): 'refused' {
    if (!(error instanceof ConfigError)) throw error;
    const problems = error.problems.slice(0, shownProblems);
    state = { ...state, problems, refusedAt: now() };
    logger.error({ cause, hash: state.hash, problems }, 'the config is refused: the old one stays');
    return 'refused';
  }

  function apply(next: Config, needsRestart: readonly string[], cause: ReloadCause): void {
    const before = current;
    const applies = listeners.map((listener) => listener(next, before));
    current = next;
    for (const one of applies) one();
    const changed = changedParts(before, next);
    state = { hash: hashOf(loaded), since: now(), needsRestart, problems: [], changed };
    const { hash } = state;
    logger.info({ cause, hash, changed }, 'the config was reloaded');
    if (needsRestart.length > 0) {
      logger.warn({ hash, fields: needsRestart }, 'a change of these fields needs a restart');
    }
  }

  return {
    get current() {
      return current;
    },
    // Sections that the file need not have may be added.
    live: mirror([...fieldsOf(started), 'admin', 'keys'], () => current),
    limits: mirror(fieldsOf(started.limits), () => current.limits),
    get state() {
      return state;
    },
    onChange: (listener) => void listeners.push(listener),
    read(cause) {
      const last = loaded;
      try {
        const found = load();
        if (isDeepStrictEqual(found, loaded)) {
          // The file that was refused is gone.
          if (state.problems.length > 0) {
            logger.info({ cause, hash: state.hash }, backAgain);
            const { refusedAt: _, ...rest } = state;
            state = { ...rest, problems: [], changed: [] };
          }
          return 'unchanged';
        }
        loaded = found;
        const { config, needsRestart } = reload(started, found);
        apply(config, needsRestart, cause);
        return 'applied';
      } catch (error) {
        loaded = last;
        return refuse(error, cause);
      }
    },
  };
}

const backAgain = 'the file has the config in use again';

/** A file with many mistakes is described by the first of them. */
const shownProblems = 20;

const fieldsOf = <T extends object>(value: T) => Object.keys(value) as (keyof T)[];

/** An object whose fields are always those of `current()`. */
function mirror<T extends object>(names: readonly (keyof T)[], current: () => T): T {
  const fields = [...new Set(names)].map((name) => [
    name,
    { enumerable: true, get: () => current()[name] },
  ]);
  return Object.defineProperties({} as T, Object.fromEntries(fields) as PropertyDescriptorMap);
}
