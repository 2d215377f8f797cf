import type { Attempt, RequestView } from '../../api/types.ts';
import { deliveriesOf } from './deliveries.ts';
import type { Delivery } from './deliveries.ts';
import type { Track } from './log-items.ts';
import { unknownOutcome, withLostEnds } from './lost-attempts.ts';

/*
 * The strip: what happened to a request on one time axis, with a lane for what its reader saw and one for each attempt.
 * Pure. Times are milliseconds since the epoch.
 */

export type SegmentKind =
  /** Waits for a worker. */
  | 'queue'
  /** Nothing was delivered yet. */
  | 'wait'
  /** From the call to its first token. */
  | 'connect'
  /** The first attempt's text. */
  | 'tokens'
  /** A later attempt's text. */
  | 'continued'
  /** The attempt repeats what readers have; they do not see it. */
  | 'held'
  /** Nothing came, until the attempt was given up. */
  | 'silent'
  /** Text that readers never saw: another attempt won, or it did not continue the answer. */
  | 'unused'
  /** Readers wait, in mid-answer. */
  | 'gap';

export type Segment = {
  kind: SegmentKind;
  from: number;
  to: number;
  /** The attempt whose text it is. */
  attempt?: number;
};

export type Lane = {
  /** Undefined: what the reader saw. */
  attempt: Attempt | undefined;
  segments: readonly Segment[];
  /** How it ended; undefined while it is under way. */
  end: LaneEnd | undefined;
};

export type LaneEnd = { at: number; outcome: string; tone: 'good' | 'bad' | 'quiet' };

export type Seam = {
  /** From 1. */
  number: number;
  /** Readers still wait: `to` and `gapMs` grow. */
  isOpen: boolean;
  /** The last text before it, and the first behind it. */
  from: number;
  to: number;
  gapMs: number;
  isEstimate: boolean;
  /** The attempt that was cut, why, and in its provider's words; undefined while an attempt is silent. */
  cut: Attempt | undefined;
  /** The attempt that continues the answer. */
  next: Attempt | undefined;
  isReset: boolean;
};

export type Strip = {
  from: number;
  to: number;
  /** Until when it waited in the queue. */
  queuedUntil: number;
  reader: Lane;
  attempts: readonly Lane[];
  seams: readonly Seam[];
  isOpen: boolean;
};

type Input = Pick<
  RequestView,
  | 'created_at'
  | 'ended_at'
  | 'status'
  | 'queue_ms'
  | 'first_token_ms'
  | 'max_gap_ms'
  | 'error'
  | 'attempts'
>;

/** Milliseconds from which a pause within an attempt is a segment of its own. */
const visibleMs = 5;

/** `now`: until when an open request is drawn. `isSilent`: its readers get no text at this moment. */
export function stripOf(
  given: Input,
  track: Track | undefined,
  now: number,
  isSilent = false,
): Strip {
  const request = withLostEnds(given, track);
  const from = Date.parse(request.created_at);
  const isOpen = request.ended_at === null;
  const ended = isOpen ? Math.max(now, from) : Date.parse(request.ended_at ?? '');
  const [first] = request.attempts;
  const queuedUntil =
    request.queue_ms === null || request.status === 'queued'
      ? first
        ? Date.parse(first.started_at)
        : ended
      : from + request.queue_ms;
  const deliveries = deliveriesOf(request, track, ended, isSilent);
  const ends = request.attempts.map(({ ended_at: at }) => (at === null ? 0 : Date.parse(at)));
  const to = Math.max(from + 1, ended, queuedUntil, ...ends, ...deliveries.map((one) => one.to));
  return {
    from,
    to,
    queuedUntil,
    reader: readerLane(request, deliveries, { from, queuedUntil, ended, isOpen }),
    attempts: request.attempts.map((attempt) => attemptLane(attempt, deliveries, to)),
    seams: seamsOf(request.attempts, deliveries, isOpen ? ended : undefined),
    isOpen,
  };
}

function readerLane(
  request: Input,
  deliveries: readonly Delivery[],
  times: { from: number; queuedUntil: number; ended: number; isOpen: boolean },
): Lane {
  const { from, queuedUntil, ended, isOpen } = times;
  const segments: Segment[] = [];
  const add = (segment: Segment) => {
    if (segment.to > segment.from) segments.push(segment);
  };
  add({ kind: 'queue', from, to: queuedUntil });
  let at = Math.max(from, queuedUntil);
  deliveries.forEach(({ attempt, from: begin, to }, index) => {
    add({ kind: index === 0 ? 'wait' : 'gap', from: at, to: begin });
    add({ kind: index === 0 ? 'tokens' : 'continued', from: begin, to, attempt });
    at = Math.max(at, to);
  });
  // The last piece of a completed answer says that it ended; that takes no time of its own.
  if (request.status !== 'completed') {
    add({ kind: isOpen && deliveries.length > 0 ? 'gap' : 'wait', from: at, to: ended });
  }
  return { attempt: undefined, segments, end: isOpen ? undefined : endOfRequest(request, ended) };
}

function endOfRequest({ status, error }: Input, at: number): LaneEnd {
  if (status === 'failed') return { at, outcome: error?.code ?? 'failed', tone: 'bad' };
  return { at, outcome: status, tone: status === 'completed' ? 'good' : 'quiet' };
}

function attemptLane(attempt: Attempt, deliveries: readonly Delivery[], now: number): Lane {
  const started = Date.parse(attempt.started_at);
  const ended = attempt.ended_at === null ? now : Date.parse(attempt.ended_at);
  const own = deliveries.filter((one) => one.attempt === attempt.attempt);
  const isFirst = deliveries[0]?.attempt === attempt.attempt;
  const segments: Segment[] = [];
  const add = (kind: SegmentKind, from: number, to: number) => {
    if (to > from) segments.push({ kind, from, to, attempt: attempt.attempt });
  };
  const [delivery] = own;
  const last = own.at(-1);
  // No record has the first token of an attempt that is under way, or whose worker died; its text tells it.
  const token =
    attempt.first_token_at === null
      ? Math.min(delivery?.from ?? ended, ended)
      : Date.parse(attempt.first_token_at);
  if (!delivery || !last) {
    add('connect', started, token);
    add('unused', token, ended);
  } else {
    const shown = Math.min(Math.max(delivery.from, token), ended);
    // What the first attempt says is delivered as it comes.
    const heldFrom = isFirst || shown - token < visibleMs ? shown : token;
    add('connect', started, heldFrom);
    add('held', heldFrom, shown);
    const stopped = Math.min(last.to, ended);
    const isCut = attempt.outcome !== 'completed' && ended - stopped >= visibleMs;
    add(isFirst ? 'tokens' : 'continued', shown, isCut ? stopped : ended);
    if (isCut) add('silent', stopped, ended);
  }
  return { attempt, segments, end: endOfAttempt(attempt, ended) };
}

function endOfAttempt(attempt: Attempt, at: number): LaneEnd | undefined {
  if (isUnderWay(attempt)) return undefined;
  const outcome = attempt.outcome ?? 'ended';
  return { at, outcome, tone: toneOfOutcome(outcome) };
}

export function toneOfOutcome(outcome: string): LaneEnd['tone'] {
  if (outcome === 'completed') return 'good';
  return calmOutcomes.has(outcome) ? 'quiet' : 'bad';
}

/** The outcome of such an attempt is null or `running`. */
export const isUnderWay = ({ ended_at: ended }: Attempt): boolean => ended === null;

/** Nothing failed: another attempt won, or someone ended it on purpose. */
const calmOutcomes = new Set(['superseded', 'handed_over', 'moved', 'client_gone', 'cancelled']);

/** `now`: of a request that runs. */
function seamsOf(
  attempts: readonly Attempt[],
  deliveries: readonly Delivery[],
  now: number | undefined,
): Seam[] {
  const byNumber = new Map(attempts.map((one) => [one.attempt, one]));
  const closed = deliveries.slice(1).map((delivery, index) => {
    const before = deliveries[index];
    return {
      number: index + 1,
      isOpen: false,
      from: before?.to ?? delivery.from,
      to: delivery.from,
      gapMs: delivery.gapMs ?? 0,
      isEstimate: delivery.isEstimate,
      cut: before && byNumber.get(before.attempt),
      next: byNumber.get(delivery.attempt),
      isReset: delivery.isReset,
    };
  });
  const last = deliveries.at(-1);
  if (!last || now === undefined || last.to >= now) return closed;
  const silent = byNumber.get(last.attempt);
  const newest = attempts.at(-1);
  const open: Seam = {
    number: closed.length + 1,
    isOpen: true,
    from: last.to,
    to: now,
    gapMs: now - last.to,
    isEstimate: false,
    cut: silent && !isUnderWay(silent) ? silent : undefined,
    next: newest && newest.attempt > last.attempt && isUnderWay(newest) ? newest : undefined,
    isReset: false,
  };
  return [...closed, open];
}

/** Outcomes in words; a code without words is shown as it is. */
const words: Readonly<Record<string, string>> = {
  completed: 'completed',
  superseded: 'another attempt won',
  handed_over: 'worker shut down',
  worker_lost: 'worker lost',
  [unknownOutcome]: 'worker lost, end not recorded',
  moved: 'moved by an operator',
  upstream_reset: 'connection broken',
  upstream_unreachable: 'not reachable',
  upstream_overloaded: 'overloaded',
  upstream_idle_timeout: 'fell silent',
  upstream_first_token_timeout: 'no first token in time',
  upstream_connect_timeout: 'no connection in time',
  client_gone: 'client left',
};

export const inWords = (outcome: string): string =>
  words[outcome] ?? outcome.replace(/^upstream_/, '').replaceAll('_', ' ');
