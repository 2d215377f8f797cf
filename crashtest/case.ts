import type { Rig } from './rig.ts';

/** `fast` shortens the provider's times and the proxy's patience alike; `full` is the catalogue's. */
export type ProfileName = 'fast' | 'full';
export type ByProfile<T> = Readonly<Record<ProfileName, T>>;

export const both = <T>(value: T): ByProfile<T> => ({ fast: value, full: value });

/**
 * `pass`: rescued, and no provider was asked too often, too early or in vain. `partial`: rescued, but the
 * conduct was off. `safe`: not rescued, but ended by one clear error, with nothing truncated, doubled
 * or garbled. `fail`: everything else.
 */
export type Verdict = 'pass' | 'partial' | 'safe' | 'fail';

/** Upstream calls, as the providers counted them. */
export type Attempts = { primary: number; backup: number };

export type Outcome = {
  verdict: Verdict;
  /** What is to be said of it; of a `pass`, at most how it came about. */
  reason: string;
  attempts: Attempts;
  /** Milliseconds from the request to the end of its answer. */
  totalMs: number;
  /** Milliseconds to the first visible text. */
  firstMs?: number | undefined;
  /** The longest time between two visible texts; milliseconds. */
  longestGapMs: number;
  /** What else was measured. */
  figures?: Readonly<Record<string, number>>;
};

export type Stage = {
  profile: ProfileName;
  /** Fires when the whole test is called off. */
  signal: AbortSignal;
  /** How long a case may wait for an end before it counts as a hang; milliseconds. */
  patienceMs: number;
};

type CaseFacts = {
  id: string;
  title: string;
  /** The verdicts that are right; @defaultValue only `pass` */
  expected?: readonly Verdict[];
};

/** One with the two providers behind one alias, for any proxy in between. */
export type ProviderCase = CaseFacts & {
  kind: 'provider';
  primary: ByProfile<string>;
  backup: ByProfile<string>;
  /** Of the alias, where Millrace is tested: fields of the config file. */
  settings: ByProfile<Readonly<Record<string, unknown>>>;
  /** The backup takes a trailing assistant message, or so the config says. */
  prefill: boolean;
  run(rig: Rig, alias: string, stage: Stage): Promise<Outcome>;
};

/** One that starts, kills and restarts processes of its own. */
export type ProcessCase = CaseFacts & {
  kind: 'process';
  run(stage: Stage): Promise<Outcome>;
};

export type CrashCase = ProviderCase | ProcessCase;

export const asExpected = ({ expected = ['pass'] }: CrashCase, { verdict }: Outcome): boolean =>
  expected.includes(verdict);
