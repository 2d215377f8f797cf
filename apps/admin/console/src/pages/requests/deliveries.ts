import type { Attempt, RequestView } from '../../api/types.ts';
import type { Frame, Track } from './log-items.ts';

/* Which attempt gave readers text, and when. Milliseconds since the epoch. Pure. */

/** From the first to the last text that one attempt gave readers. */
export type Delivery = {
  attempt: number;
  from: number;
  to: number;
  /** How long readers waited for its first text since the last one; undefined for the first delivery. */
  gapMs: number | undefined;
  /** The gap is what the attempts' own times allow: no record has it. */
  isEstimate: boolean;
  /** Readers threw away what they had before. */
  isReset: boolean;
};

type Times = Pick<
  RequestView,
  'created_at' | 'ended_at' | 'first_token_ms' | 'max_gap_ms' | 'attempts'
>;

/**
 * With the times of the log if they are known, otherwise with those of the attempts. `isSilent`: readers of a running
 * request get no text at this moment.
 */
export function deliveriesOf(
  request: Times,
  track: Track | undefined,
  now: number,
  isSilent = false,
): readonly Delivery[] {
  const exact = track && track.isTimed ? deliveriesInLog(track) : [];
  if (exact.length === 0) return deliveriesByAttempts(request, now);
  const last = exact.at(-1);
  if (!last || request.ended_at !== null) return exact;
  const attempt = request.attempts.find((one) => one.attempt === last.attempt);
  if (isSilent || (attempt && attempt.ended_at !== null)) return exact;
  // The log is read once a second: what came since then belongs to the delivery.
  return [...exact.slice(0, -1), { ...last, to: Math.max(last.to, now) }];
}

/** Found once for each track: the page of a running request asks each second. */
const inLog = new WeakMap<object, readonly Delivery[]>();

/** Gaps between the pieces of the log, at each change of the attempt. */
export function deliveriesInLog(track: Pick<Track, 'frames' | 'resets'>): readonly Delivery[] {
  const known = inLog.get(track) ?? findDeliveries(track);
  inLog.set(track, known);
  return known;
}

function findDeliveries({ frames, resets }: Pick<Track, 'frames' | 'resets'>): Delivery[] {
  const found: Delivery[] = [];
  let before: Frame | undefined;
  frames.forEach((frame, index) => {
    const current = found.at(-1);
    const isReset = before !== undefined && resets.includes(index);
    if (current && before && before.attempt === frame.attempt && !isReset) current.to = frame.at;
    else {
      const { attempt, at } = frame;
      const gapMs = before && Math.max(0, at - before.at);
      found.push({ attempt, from: at, to: at, gapMs, isEstimate: false, isReset });
    }
    before = frame;
  });
  return found;
}

/**
 * What attempts allow: an attempt that replays or repeats text shows nothing new until its seam, so its first token is
 * only the earliest moment. The ledger's longest gap tells it exactly where there is one.
 */
function deliveriesByAttempts(request: Times, now: number): Delivery[] {
  const deliverers = request.attempts.filter(
    (one) => one.first_token_at !== null && one.outcome !== 'superseded',
  );
  const found: Delivery[] = [];
  for (const one of deliverers) {
    const { attempt, mode } = one;
    const shown = Date.parse(one.first_token_at ?? one.started_at);
    const to = Math.max(shown, endOf(one, now));
    const before = found.at(-1);
    if (!before) {
      const from =
        request.first_token_ms === null
          ? shown
          : Date.parse(request.created_at) + request.first_token_ms;
      found.push({ attempt, from, to, gapMs: undefined, isEstimate: false, isReset: false });
      continue;
    }
    const isOnly = deliverers.length === 2 && request.max_gap_ms !== null;
    const gapMs = isOnly ? (request.max_gap_ms ?? 0) : Math.max(0, shown - before.to);
    const from = Math.max(shown, before.to + gapMs);
    before.to = Math.max(before.from, from - gapMs);
    const isReset = mode === 'restart';
    found.push({ attempt, from, to: Math.max(from, to), gapMs, isEstimate: !isOnly, isReset });
  }
  return found;
}

const endOf = ({ ended_at: ended }: Attempt, now: number): number =>
  ended === null ? now : Date.parse(ended);

/**
 * Times for the pieces of a log that has none: spread evenly over what the attempts' times allow, so that a playback has
 * their pace and pauses.
 */
export function spread(track: Track, deliveries: readonly Delivery[]): Track {
  if (track.isTimed) return track;
  const frames = [...track.frames];
  let start = 0;
  let earliest = deliveries[0]?.from ?? 0;
  for (const run of deliveriesInLog(track)) {
    const length = lengthOfRun(track, start);
    const span = deliveries.find(({ attempt, to }) => attempt === run.attempt && to >= earliest);
    const from = Math.max(earliest, span?.from ?? earliest);
    const to = Math.max(from, span?.to ?? from);
    for (let i = 0; i < length; i++) {
      const frame = frames[start + i];
      const at = from + (length > 1 ? ((to - from) * i) / (length - 1) : 0);
      if (frame) frames[start + i] = { ...frame, at };
    }
    earliest = to;
    start += length;
  }
  return { ...track, frames };
}

/** How many pieces one attempt gave without a break, from an index on. */
function lengthOfRun({ frames, resets }: Track, start: number): number {
  const attempt = frames[start]?.attempt;
  let end = start + 1;
  while (end < frames.length && frames[end]?.attempt === attempt && !resets.includes(end)) end += 1;
  return end - start;
}
