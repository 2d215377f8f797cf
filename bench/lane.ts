import type { Goal } from './goal.ts';
import type { CaseName, Options } from './options.ts';
import type { Part } from './table.ts';

/** The results of one lane, for a terminal, for the page and for the JSON. */
export interface LaneReport {
  heading: string;
  parts: Part[];
  goals: Goal[];
  /** An answer was lost or wrong: the run fails. */
  isWrong: boolean;
  /** The raw figures. */
  record: object;
}

export interface Lane {
  /** The key of its figures in the JSON. */
  key: string;
  /** It runs if one of these is requested. */
  cases: readonly CaseName[];
  run(
    options: Options,
    signal: AbortSignal,
    onProgress: (text: string) => void,
  ): Promise<LaneReport>;
}
