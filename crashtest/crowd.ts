import type { LoggedRequest, Simulator } from '../apps/simulator/src/index.ts';
import type { Attempts, Outcome, Stage, Verdict } from './case.ts';
import { send } from '../test/kit/exchange.ts';
import type { Ended, Exchange } from '../test/kit/exchange.ts';
import type { Fleet, RoleProcess } from './fleet.ts';
import { longestGap, readAnswer, textOf } from '../test/kit/reading.ts';
import type { Reading } from '../test/kit/reading.ts';
import { attemptsOf, callsOf, completionsOf, question } from './rig.ts';
import { rescued } from './scenario.ts';

/* Many concurrent streams, and their outcomes. */

export type Crowd = {
  readonly marker: string;
  readonly streams: readonly Exchange[];
  /** Resolves when each of them has had `events` events, or has ended. */
  all(events: number): Promise<void>;
  readonly ended: Promise<readonly Told[]>;
};

export type Told = { ended: Ended; reading: Reading; verdict: Verdict; reason: string };

export type CrowdOptions = {
  alias: string;
  count: number;
  marker: string;
  /** The whole answer of each of them. */
  text: string;
  /** Requests the entry ids, which identify the runs. */
  eventIds?: boolean;
};

/** Opens streams, evenly over the ingresses. */
export function gather(
  ingresses: readonly RoleProcess[],
  { alias, count, marker, text, eventIds = false }: CrowdOptions,
  { patienceMs, signal }: Stage,
): Crowd {
  const streams = Array.from({ length: count }, (_, i) =>
    send(completionsOf(ingresses[i % ingresses.length]?.url ?? ''), {
      body: question(alias, streamMarker(marker, i), {
        stream: true,
        stream_options: { include_usage: true },
      }),
      ...(eventIds && { headers: { 'x-millrace-event-ids': 'on' } }),
      patienceMs,
      signal,
    }),
  );
  return {
    marker,
    streams,
    async all(events) {
      await Promise.all(streams.map((stream) => stream.count(events)));
    },
    ended: Promise.all(
      streams.map(async (stream) => {
        const ended = await stream.ended;
        const reading = readAnswer(ended);
        return { ended, reading, ...rescued(reading, text) };
      }),
    ),
  };
}

/**
 * Milliseconds from an incident to the first text that a later attempt added, for each stream that the backup
 * continued. The text that the backup was given had been delivered: anything up to there was in flight
 * already.
 */
export function pausesAfter(
  incidentAt: number,
  { marker }: Pick<Crowd, 'marker'>,
  told: readonly Told[],
  backup: Simulator,
): number[] {
  return told.flatMap(({ ended }, i) => {
    const [call] = callsOf(backup, streamMarker(marker, i));
    const shown = call && shownTo(call);
    if (shown === undefined) return [];
    let length = 0;
    for (const { at, data } of ended.events) {
      length += textOf(data).length;
      if (length > shown.length) return [at - incidentAt];
    }
    // No such text arrived: the pause lasts to the end.
    return [ended.endedAt - incidentAt];
  });
}

/** Every stream has to be measured: one call of the backup, and one pause. */
export function unmeasured(
  { marker, streams }: Pick<Crowd, 'marker' | 'streams'>,
  pauses: readonly number[],
  backup: Simulator,
): string[] {
  const calls = streams.map((_, i) => callsOf(backup, streamMarker(marker, i)).length);
  const odd = calls.filter((count) => count !== 1).length;
  return [
    ...(odd === 0 ? [] : [`${odd} of ${streams.length} streams without exactly one backup call`]),
    ...(pauses.length === streams.length
      ? []
      : [`${pauses.length} pauses measured of ${streams.length} streams`]),
  ];
}

const streamMarker = (marker: string, number: number): string => `${marker}-${number}.`;

/** The beginning of the answer that a backup with prefill was given. */
function shownTo({ body }: LoggedRequest): string | undefined {
  const { messages = [] } = body as { messages?: { role: string; content: string }[] };
  const last = messages.at(-1);
  return last?.role === 'assistant' ? last.content : undefined;
}

/** The value that this share of the values does not exceed; NaN for none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

/** The verdict on many streams: that of the worst one. */
export function verdictOf(
  fleet: Pick<Fleet, 'primary' | 'backup'>,
  { marker }: Pick<Crowd, 'marker'>,
  told: readonly Told[],
  complaints: readonly string[],
  figures: Readonly<Record<string, number>>,
): Outcome {
  const attempts: Attempts = attemptsOf(fleet, marker);
  const starts = told.map(({ ended }) => ended.startedAt);
  const ends = told.map(({ ended }) => ended.endedAt);
  return {
    ...worst(told, complaints),
    attempts,
    totalMs: Math.max(...ends) - Math.min(...starts),
    longestGapMs: Math.max(...told.map(({ reading }) => longestGap(reading.textAt))),
    figures: Object.fromEntries(
      Object.entries(figures).map(([name, value]) => [name, Math.round(value)]),
    ),
  };
}

export function worst(
  told: readonly Pick<Told, 'verdict' | 'reason'>[],
  complaints: readonly string[],
): { verdict: Verdict; reason: string } {
  const failed = told.filter(({ verdict }) => verdict === 'fail');
  const safe = told.filter(({ verdict }) => verdict === 'safe');
  const [first] = [...failed, ...safe];
  if (first) {
    const reason = `${failed.length} failed, ${safe.length} safe of ${told.length}: ${first.reason}`;
    return { verdict: first.verdict, reason };
  }
  return complaints.length === 0
    ? { verdict: 'pass', reason: '' }
    : { verdict: 'partial', reason: complaints.join('; ') };
}
