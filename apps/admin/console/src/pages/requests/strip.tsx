import { computed } from '@preact/signals';
import type { Signal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { duration } from '../../ui/format.ts';
import { axisOf, rhythmOf } from './axis.ts';
import type { Axis } from './axis.ts';
import type { Track } from './log-items.ts';
import { inWords } from './strip.ts';
import type { Lane, Seam, Segment, SegmentKind, Strip } from './strip.ts';

/** Parts of the axis in which the rhythm of the text is drawn: fewer for a short answer, whose pieces would stand alone. */
const fewestParts = 24;
const mostParts = 160;
/** Per cent of the width from which the words of an attempt's end stand at its left. */
const endAtLeftFrom = 70;
/** Per cent of the width that a seam's words take, for the rows in which they stand. */
const calloutWidth = 34;

const kindWords: Readonly<Record<SegmentKind, string>> = {
  queue: 'waits in the queue',
  wait: 'waits for text',
  connect: 'connects',
  tokens: 'text',
  continued: 'continued text',
  held: 'repeats what the reader has',
  silent: 'silent',
  unused: 'text that was not used',
  gap: 'gap',
};

/** A colour for each attempt; `seam` and `bad` mean something else. */
const attemptColors = ['series-1', 'series-2', 'series-3', 'series-8', 'series-7', 'series-5'];

export const attemptColor = (attempt: number): string =>
  `var(--${attemptColors[(attempt - 1) % attemptColors.length] ?? 'series-1'})`;

const colorStyle = (attempt: number | undefined) =>
  attempt === undefined ? {} : { '--attempt': attemptColor(attempt) };

/** What happened to a request, on one time axis: what its reader saw, and below it a lane for each attempt. */
export function StripView(props: {
  strip: Strip;
  track: Track | undefined;
  /** A moment in milliseconds since the epoch, shown as a line; undefined: none. */
  playhead: Signal<number | undefined>;
  /** The range that is shown; the whole if undefined. */
  range: { from: number; to: number } | undefined;
  seek(at: number): void;
}) {
  const { strip, track, range, playhead, seek } = props;
  const axis = useMemo(
    () =>
      range
        ? axisOf(range.from, range.to, range.from)
        : axisOf(strip.from, strip.to, strip.queuedUntil),
    [strip, range?.from, range?.to],
  );
  const callouts = calloutRows(strip.seams, axis);
  return (
    <figure class="strip" aria-label={sentenceOf(strip)}>
      <div
        class="strip-body"
        onClick={(event) => {
          const box = event.currentTarget.querySelector('.strip-overlay')?.getBoundingClientRect();
          if (!box || event.clientX < box.left) return;
          seek(axis.at(((event.clientX - box.left) / box.width) * 100));
        }}
      >
        <div class="strip-overlay" aria-hidden="true">
          {axis.ticks.map(({ at, label }) => (
            <span class="tick" key={label} style={{ left: `${axis.place(at)}%` }} />
          ))}
          {strip.seams.map((seam) => (
            <span
              class="seam-band"
              key={seam.number}
              style={{
                left: `${axis.place(seam.from)}%`,
                width: `${axis.place(seam.to) - axis.place(seam.from)}%`,
              }}
            />
          ))}
          <Playhead at={playhead} axis={axis} />
        </div>
        {callouts.rows > 0 && (
          <div class="strip-callouts" style={{ height: `${callouts.rows * 24}px` }}>
            {callouts.placed.map(({ seam, row, place, isLeft }) => (
              <span
                class={`callout ${isLeft ? 'at-left' : ''}`}
                key={seam.number}
                style={{
                  top: `${row * 24}px`,
                  ...(isLeft ? { right: `${100 - place}%` } : { left: `${place}%` }),
                }}
              >
                <span class="callout-why">{whyOf(seam)}</span>
                <b>{gapText(seam)}</b>
              </span>
            ))}
          </div>
        )}
        <LaneView lane={strip.reader} axis={axis} track={track} />
        {strip.attempts.map((lane) => (
          <LaneView
            key={`${lane.attempt?.run}-${lane.attempt?.attempt}`}
            lane={lane}
            axis={axis}
            track={undefined}
          />
        ))}
        <div class="strip-axis" aria-hidden="true">
          {axis.ticks.map(({ at, label }) => (
            <span key={label} style={{ left: `${axis.place(at)}%` }}>
              {label}
            </span>
          ))}
          {axis.brokenUntil !== undefined && (
            <span class="break" style={{ left: `${axis.brokenUntil / 2}%` }}>
              {'// '}
              {duration(strip.queuedUntil - strip.from)}
            </span>
          )}
        </div>
      </div>
    </figure>
  );
}

function Playhead({ at, axis }: { at: Signal<number | undefined>; axis: Axis }) {
  const left = useMemo(
    () => computed(() => (at.value === undefined ? undefined : axis.place(at.value))),
    [at, axis],
  );
  if (left.value === undefined) return null;
  return <span class="playhead" style={{ left: `${left.value}%` }} />;
}

function LaneView({ lane, axis, track }: { lane: Lane; axis: Axis; track: Track | undefined }) {
  const { attempt, segments, end } = lane;
  const isReader = attempt === undefined;
  const visible = segments.filter(({ from, to }) => axis.place(to) > axis.place(from));
  const endPlace = end && axis.place(end.at);
  return (
    <div class={`lane ${isReader ? 'reader' : ''}`}>
      <div class="lane-label">
        {isReader ? (
          <strong>Reader</strong>
        ) : (
          <>
            <span class="attempt-dot" style={colorStyle(attempt.attempt)} aria-hidden="true" />
            <span class="lane-name" title={`${attempt.provider}/${attempt.model}`}>
              {attempt.attempt}. {attempt.provider}
            </span>
            <span class="note">
              {attempt.mode}
              {attempt.run > 1 && `, run ${attempt.run}`}
            </span>
          </>
        )}
      </div>
      <ol class="lane-track">
        {visible.map((segment) => (
          <SegmentView key={`${segment.kind}-${segment.from}`} segment={segment} axis={axis} />
        ))}
        {track && <Rhythm track={track} axis={axis} />}
        {end && endPlace !== undefined && (
          <li
            class={`lane-end ${endPlace > endAtLeftFrom ? 'at-left' : ''}`}
            data-tone={end.tone}
            style={
              endPlace > endAtLeftFrom ? { right: `${100 - endPlace}%` } : { left: `${endPlace}%` }
            }
            title={attempt?.detail ?? undefined}
          >
            <span class="mark" aria-hidden="true">
              {end.tone === 'good' ? '✓' : end.tone === 'bad' ? '✕' : '–'}
            </span>{' '}
            <span class={end.tone === 'good' ? 'hidden-text' : ''}>{inWords(end.outcome)}</span>
          </li>
        )}
      </ol>
    </div>
  );
}

function SegmentView({ segment, axis }: { segment: Segment; axis: Axis }) {
  const { kind, from, to, attempt } = segment;
  const words = `${kindWords[kind]} ${duration(to - from)}`;
  const left = axis.place(from);
  return (
    <li
      class="segment"
      data-kind={kind}
      title={words}
      style={{ left: `${left}%`, width: `${axis.place(to) - left}%`, ...colorStyle(attempt) }}
    >
      <span class="segment-text" aria-hidden="true">
        {shortWords[kind]} {duration(to - from)}
      </span>
      <span class="hidden-text">{words}</span>
    </li>
  );
}

const shortWords: Readonly<Record<SegmentKind, string>> = {
  queue: 'queue',
  wait: 'wait',
  connect: 'connect',
  tokens: 'text',
  continued: 'continued',
  held: 'repeats',
  silent: 'silent',
  unused: 'unused',
  gap: 'gap',
};

function Rhythm({ track, axis }: { track: Track; axis: Axis }) {
  const parts = Math.min(mostParts, Math.max(fewestParts, Math.round(track.frames.length * 0.7)));
  const bars = useMemo(() => rhythmOf(track.frames, axis, parts), [track, axis, parts]);
  return (
    <li class="rhythm" aria-hidden="true">
      <svg viewBox="0 0 100 100" preserveAspectRatio="none">
        {bars.map(({ place, share, attempt }) => (
          <rect
            key={place}
            x={place}
            y={100 - 18 - share * 74}
            width={(100 / parts) * 0.72}
            height={18 + share * 74}
            style={{ fill: attemptColor(attempt) }}
          />
        ))}
      </svg>
    </li>
  );
}

export const milliseconds = (ms: number): string => `${Math.round(ms).toLocaleString('en')} ms`;

export const gapText = ({ gapMs, isEstimate, isOpen }: Seam): string =>
  `${isEstimate ? '≈ ' : ''}${milliseconds(gapMs)}${isOpen ? ' so far' : ''}`;

/** Why an attempt was cut, in few words. */
export function whyOf({ cut, isReset, isOpen }: Seam): string {
  if (isOpen && !cut) return 'no text comes';
  return `${inWords(cut?.outcome ?? 'cut')}${isReset ? ', began anew' : ''}`;
}

/** The rows of the seams' words, so that none covers another. */
function calloutRows(seams: readonly Seam[], axis: Axis) {
  const ends: number[] = [];
  const placed = seams.map((seam) => {
    const place = axis.place((seam.from + seam.to) / 2);
    const isLeft = place > 60;
    const from = isLeft ? place - calloutWidth : place;
    let row = ends.findIndex((end) => end <= from);
    if (row < 0) row = ends.length;
    ends[row] = from + calloutWidth;
    return { seam, row, place, isLeft };
  });
  return { placed, rows: ends.length };
}

/** The strip in one sentence, for those who do not see it. */
function sentenceOf(strip: Strip): string {
  const parts = strip.reader.segments.map(
    ({ kind, from, to }) => `${kindWords[kind]} ${duration(to - from)}`,
  );
  const end = strip.reader.end ? inWords(strip.reader.end.outcome) : 'still under way';
  return `What the reader saw: ${[...parts, end].join(', ')}. ${strip.attempts.length} attempts.`;
}

/** What the colours and patterns mean. */
export function StripLegend() {
  const kinds: readonly SegmentKind[] = ['queue', 'connect', 'tokens', 'held', 'silent', 'gap'];
  return (
    <ul class="strip-legend" aria-label="Legend">
      {kinds.map((kind) => (
        <li key={kind}>
          <span class="segment" data-kind={kind} style={colorStyle(1)} aria-hidden="true" />
          {kindWords[kind]}
        </li>
      ))}
    </ul>
  );
}
