import type { Goal } from './goal.ts';
import type { CaseName, Options } from './options.ts';
import type { Part } from './table.ts';

/** What one lane found out, for a terminal, for the page and for the JSON. */
export interface LaneReport {
  heading: string;
  parts: Part[];
  goals: Goal[];
  /** Something was lost or answered wrongly: the run fails. */
  isWrong: boolean;
  /** The raw figures. */
  record: object;
}

export interface Lane {
  /** Of its figures in the JSON. */
  key: string;
  /** It runs when one of them is asked for. */
  cases: readonly CaseName[];
  run(
    options: Options,
    signal: AbortSignal,
    onProgress: (text: string) => void,
  ): Promise<LaneReport>;
}
