import type { Told } from '../../crashtest/crowd.ts';
import type { Arrival } from '../../test/kit/exchange.ts';
import { textOf } from '../../test/kit/reading.ts';
import { exactTime } from '../../apps/simulator/src/clock.ts';
import type { LoggedRequest, Simulator } from '../../apps/simulator/src/index.ts';
import type { FigureName, Outcome } from './figures.ts';

/** When a call of this provider sent each of its tokens, on the clock of its log. */
export type TokenTimes = (call: LoggedRequest) => readonly number[];

/** Records the times from now on. */
export function noteTokens({ events }: Simulator): TokenTimes {
  const times = new Map<number, number[]>();
  events.on('token', ({ number, tokens }) => {
    const noted = times.get(number) ?? [];
    times.set(number, noted);
    const at = exactTime();
    while (noted.length < tokens) noted.push(at);
  });
  return ({ number }) => times.get(number) ?? [];
}

/** How one stream recovered from an incident; milliseconds from it. */
export interface Rescue {
  /** To the arrival of the request at the backup. */
  askedMs: number;
  /** To the next text at the reader, without the time that the backup itself took for it. */
  nextMs: number;
}

export interface Incident {
  at: number;
  told: Told;
  /** The backup's calls for this stream. */
  calls: readonly LoggedRequest[];
  times: TokenTimes;
  /** When the reader received the first new text. */
  shownAt: number | undefined;
  /** How many of the backup's tokens are new, counted from their end; absent: all. */
  newTokens?: number;
}

/** The figures, or a description of what was wrong. */
export function rescueOf({
  at,
  told,
  calls,
  times,
  shownAt,
  newTokens,
}: Incident): Rescue | string {
  if (told.verdict !== 'pass') return told.reason;
  const [call] = calls;
  if (!call || calls.length > 1) return `the backup was asked ${calls.length} times`;
  const tokens = times(call);
  const ready = tokens[newTokens === undefined ? 0 : tokens.length - newTokens];
  if (ready === undefined || shownAt === undefined) return 'nothing new came from the backup';
  const askedMs = call.arrivedAt - at;
  return { askedMs, nextMs: shownAt - at - (ready - call.arrivedAt) };
}

/** One stream, and the figures to which it belongs. */
export interface Story {
  name: string;
  figures: { asked: FigureName; next: FigureName };
  rescue: Rescue | string;
}

export function outcomeOf(stories: readonly Story[]): Outcome {
  const values: Outcome['values'] = {};
  const wrong: string[] = [];
  for (const { name, figures, rescue } of stories) {
    if (typeof rescue === 'string') {
      wrong.push(`${name}: ${rescue}`);
      continue;
    }
    (values[figures.asked] ??= []).push(rescue.askedMs);
    (values[figures.next] ??= []).push(rescue.nextMs);
  }
  return { values, streams: stories.length, wrong };
}

/** When the reader had more text than the given number of characters. */
export function shownBeyond(events: readonly Arrival[], length: number): number | undefined {
  let shown = 0;
  return events.find((event) => (shown += textLength(event)) > length)?.at;
}

/** When the reader first received text of another run than the first. */
export function shownByNextRun(events: readonly Arrival[]): number | undefined {
  const first = runOf(events[0]);
  return events.find((event) => textLength(event) > 0 && runOf(event) !== first)?.at;
}

const textLength = ({ event, data }: Arrival): number =>
  event === 'message' ? textOf(data).length : 0;

/** An entry's id is its run and its place in it. */
const runOf = (event: Arrival | undefined): string | undefined => event?.id?.split('-')[0];
