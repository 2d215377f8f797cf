import { computed } from '@preact/signals';
import type { ReadonlySignal, Signal } from '@preact/signals';
import { memo } from 'preact/compat';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { duration } from '../../ui/format.ts';
import { framesAt, textPartsOf } from './log-items.ts';
import type { TextPart, Track } from './log-items.ts';
import { gapText, whyOf, attemptColor } from './strip.tsx';
import type { Seam } from './strip.ts';

const speeds = [0.25, 0.5, 1, 2, 4, 16];

/**
 * The answer as readers got it, at its pace. `playhead` is the moment that is shown, in milliseconds since the epoch;
 * undefined shows all of it.
 */
export function Playback(props: {
  track: Track;
  seams: readonly Seam[];
  from: number;
  to: number;
  isOpen: boolean;
  playhead: Signal<number | undefined>;
}) {
  const { track, seams, from, to, isOpen, playhead } = props;
  const [isPlaying, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(1);
  usePlaying({ isPlaying, speed, to, playhead, stop: () => setPlaying(false) });
  const shown = useMemo(
    () =>
      computed(() =>
        playhead.value === undefined ? track.frames.length : framesAt(track.frames, playhead.value),
      ),
    [track, playhead],
  );
  const toggle = () => {
    if (!isPlaying && (playhead.value === undefined || playhead.value >= to)) playhead.value = from;
    setPlaying(!isPlaying);
  };
  return (
    <div class="playback">
      <div class="playback-bar">
        <button type="button" class="primary play" onClick={toggle}>
          {isPlaying ? 'Pause' : 'Play'}
        </button>
        <Scrubber {...{ seams, from, to, playhead }} />
        <select
          aria-label="Speed"
          value={String(speed)}
          onChange={(event) => setSpeed(Number(event.currentTarget.value))}
        >
          {speeds.map((one) => (
            <option key={one} value={String(one)}>
              {one}×
            </option>
          ))}
        </select>
        <button
          type="button"
          onClick={() => {
            setPlaying(false);
            playhead.value = undefined;
          }}
        >
          {isOpen ? 'Live' : 'All'}
        </button>
      </div>
      <Text track={track} seams={seams} shown={shown} isFollowing={isPlaying || isOpen} />
      {!track.isTimed && (
        <p class="note">
          The log does not say when each piece was delivered: the pieces are spread over the time of
          their attempt.
        </p>
      )}
      {track.hasMoreChoices && (
        <p class="note">The client asked for several answers: this is the first.</p>
      )}
    </div>
  );
}

function usePlaying(options: {
  isPlaying: boolean;
  speed: number;
  to: number;
  playhead: Signal<number | undefined>;
  stop(): void;
}): void {
  const latest = useRef(options);
  latest.current = options;
  const { isPlaying } = options;
  useEffect(() => {
    if (!isPlaying) return;
    let before = performance.now();
    let frame = 0;
    const step = (now: number) => {
      const { playhead, speed, to, stop } = latest.current;
      const at = (playhead.value ?? to) + (now - before) * speed;
      before = now;
      playhead.value = Math.min(at, to);
      if (at >= to) stop();
      else frame = requestAnimationFrame(step);
    };
    frame = requestAnimationFrame(step);
    return () => cancelAnimationFrame(frame);
  }, [isPlaying]);
}

function Scrubber(props: {
  seams: readonly Seam[];
  from: number;
  to: number;
  playhead: Signal<number | undefined>;
}) {
  const { seams, from, to, playhead } = props;
  const length = Math.max(1, to - from);
  const value = Math.round((playhead.value ?? to) - from);
  return (
    <div class="scrubber">
      <div class="scrubber-track">
        {seams.map((seam) => (
          <span
            class="scrubber-seam"
            key={seam.number}
            aria-hidden="true"
            style={{ left: `${((seam.to - from) / length) * 100}%` }}
          />
        ))}
        <input
          type="range"
          aria-label="Moment of the answer"
          aria-valuetext={`${duration(value)} of ${duration(length)}`}
          min={0}
          max={Math.round(length)}
          step={10}
          value={value}
          onInput={(event) => (playhead.value = from + Number(event.currentTarget.value))}
        />
      </div>
      <span class="mono scrubber-time">
        {duration(value)} / {duration(length)}
      </span>
    </div>
  );
}

function Text(props: {
  track: Track;
  seams: readonly Seam[];
  shown: ReadonlySignal<number>;
  isFollowing: boolean;
}) {
  const { track, seams, isFollowing } = props;
  const parts = useMemo(() => textPartsOf(track), [track]);
  const frame = useRef<HTMLDivElement>(null);
  const shown = props.shown.value;
  useEffect(() => {
    const element = frame.current;
    if (isFollowing && element) element.scrollTop = element.scrollHeight;
  }, [shown, isFollowing]);
  const visible = parts.filter(({ first }) => first < shown);
  return (
    <div class="playback-text" ref={frame} tabIndex={0} role="region" aria-label="The answer">
      {visible.map((part) => (
        <PartView
          key={part.first}
          part={part}
          chars={part.ends[Math.min(part.ends.length, shown - part.first) - 1] ?? 0}
          seam={part.seam && seams.find(({ to, next }) => next?.attempt === part.attempt && to > 0)}
        />
      ))}
      {shown < track.frames.length && <span class="cursor" aria-hidden="true" />}
    </div>
  );
}

const PartView = memo(function PartView(props: {
  part: TextPart;
  chars: number;
  seam: Seam | undefined;
}) {
  const { part, chars, seam } = props;
  return (
    <>
      {part.isReset && <span class="seam-mark">↺ began anew</span>}
      {part.seam && (
        <span class="seam-mark">
          {seam ? `${whyOf(seam)} · ${gapText(seam)} · ` : ''}
          {seam?.next ? `${seam.next.provider} continues` : `attempt ${part.attempt} continues`}
        </span>
      )}
      <span
        class="part"
        data-kind={part.kind}
        data-void={part.isVoid ? 'true' : undefined}
        style={{ '--attempt': attemptColor(part.attempt) }}
      >
        {part.text.slice(0, chars)}
      </span>
    </>
  );
});
