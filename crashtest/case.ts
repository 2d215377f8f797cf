import type { Rig } from './rig.ts';

/** `fast` shortens the provider's times and the proxy's timeouts alike; `full` uses the catalogue's. */
export type ProfileName = 'fast' | 'full';
export type ByProfile<T> = Readonly<Record<ProfileName, T>>;

export const both = <T>(value: T): ByProfile<T> => ({ fast: value, full: value });

/**
 * `pass`: rescued, and no provider was called too often, too early or needlessly. `partial`: rescued, but with
 * such calls. `safe`: not rescued, but ended by one clear error, with nothing truncated, duplicated or
 * garbled. `fail`: everything else.
 */
export type Verdict = 'pass' | 'partial' | 'safe' | 'fail';

/** Upstream calls, as the providers counted them. */
export type Attempts = { primary: number; backup: number };

export type Outcome = {
  verdict: Verdict;
  /** A remark; for a `pass`, at most how it was achieved. */
  reason: string;
  attempts: Attempts;
  /** Milliseconds from the request to the end of its answer. */
  totalMs: number;
  /** Milliseconds to the first visible text. */
  firstMs?: number | undefined;
  /** The longest time between two visible texts; milliseconds. */
  longestGapMs: number;
  /** Further measurements. */
  figures?: Readonly<Record<string, number>>;
};

export type Stage = {
  profile: ProfileName;
  /** Fires when the whole test is cancelled. */
  signal: AbortSignal;
  /** How long a case may wait for an end before it counts as a hang; milliseconds. */
  patienceMs: number;
};

type CaseFacts = {
  id: string;
  title: string;
  /** The expected verdicts; @defaultValue only `pass` */
  expected?: readonly Verdict[];
};

/** A case with the two providers behind one alias, for any proxy in between. */
export type ProviderCase = CaseFacts & {
  kind: 'provider';
  primary: ByProfile<string>;
  backup: ByProfile<string>;
  /** Config fields of the alias, if Millrace is tested. */
  settings: ByProfile<Readonly<Record<string, unknown>>>;
  /** The backup continues a trailing assistant message, or at least the config says so. */
  prefill: boolean;
  run(rig: Rig, alias: string, stage: Stage): Promise<Outcome>;
};

/** A case that starts, kills and restarts processes of its own. */
export type ProcessCase = CaseFacts & {
  kind: 'process';
  run(stage: Stage): Promise<Outcome>;
};

export type CrashCase = ProviderCase | ProcessCase;

export const asExpected = ({ expected = ['pass'] }: CrashCase, { verdict }: Outcome): boolean =>
  expected.includes(verdict);
