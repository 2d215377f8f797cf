/* Where times stand on the strip. Pure. */

export type Axis = {
  /** Per cent of the width, from 0 to 100. */
  place(at: number): number;
  /** The time at a place. */
  at(place: number): number;
  ticks: readonly { at: number; label: string }[];
  /** The wait in the queue is drawn shorter than it was, up to this place. */
  brokenUntil: number | undefined;
};

/** A longer share of the whole is drawn as `queueWidth` per cent. */
const longQueue = 0.35;
const queueWidth = 14;
const wantedTicks = 6;

/** From `from` to `to`; a queue wait that would take most of the width is broken. */
export function axisOf(from: number, to: number, queuedUntil: number): Axis {
  const whole = Math.max(1, to - from);
  const wait = queuedUntil - from;
  const isBroken = wait / whole > longQueue && queuedUntil < to;
  const start = isBroken ? queuedUntil : from;
  const offset = isBroken ? queueWidth : 0;
  const rest = Math.max(1, to - start);
  const place = (at: number): number => {
    const bounded = Math.min(Math.max(at, from), to);
    if (isBroken && bounded < start) return ((bounded - from) / wait) * offset;
    return offset + ((bounded - start) / rest) * (100 - offset);
  };
  const at = (where: number): number => {
    const bounded = Math.min(Math.max(where, 0), 100);
    if (isBroken && bounded < offset) return from + (bounded / offset) * wait;
    return start + ((bounded - offset) / (100 - offset)) * rest;
  };
  const step = stepOf(rest / wantedTicks);
  const ticks: { at: number; label: string }[] = [];
  // Ticks count from the request's begin, so those of a broken axis do not begin at 0.
  const firstTick = Math.ceil((start - from) / step) * step;
  for (let ms = firstTick; from + ms <= to; ms += step) {
    ticks.push({ at: from + ms, label: tickLabel(ms, step) });
  }
  return { place, at, ticks, brokenUntil: isBroken ? offset : undefined };
}

const minuteMs = 60_000;
const hourMs = 3_600_000;
const steps = [1, 2, 5, 10, 15, 30, 60].map((minutes) => minutes * minuteMs);

/** A round step of at least so many milliseconds: 1, 2 or 5 of a power of ten, or whole minutes and hours. */
function stepOf(least: number): number {
  if (least > 30_000) {
    const found = steps.find((step) => step >= least);
    return found ?? Math.ceil(least / hourMs) * hourMs;
  }
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  const factor = [1, 2, 5].find((one) => one * power >= least) ?? 10;
  return factor * power;
}

function tickLabel(ms: number, step: number): string {
  if (ms === 0) return '0';
  if (step >= minuteMs) {
    const minutes = Math.round(ms / minuteMs);
    return minutes >= 60 && minutes % 60 === 0 ? `${minutes / 60} h` : `${minutes} min`;
  }
  if (step >= 1000) return `${Math.round(ms / 1000)} s`;
  return ms < 1000 ? `${ms} ms` : `${trimmed(ms / 1000)} s`;
}

const trimmed = (seconds: number): string => String(Number(seconds.toFixed(3)));

/** Pieces of text in each of so many parts of the axis, as shares of the fullest one: the rhythm of the answer. */
export function rhythmOf(
  frames: readonly { at: number; text: string; attempt: number }[],
  axis: Axis,
  parts: number,
): { place: number; share: number; attempt: number }[] {
  const sums = Array.from({ length: parts }, () => ({ chars: 0, attempt: 0 }));
  for (const { at, text, attempt } of frames) {
    const index = Math.min(parts - 1, Math.floor((axis.place(at) / 100) * parts));
    const sum = sums[index];
    if (sum) {
      sum.chars += text.length;
      sum.attempt = attempt;
    }
  }
  const most = Math.max(1, ...sums.map(({ chars }) => chars));
  return sums.flatMap(({ chars, attempt }, index) =>
    chars === 0 ? [] : [{ place: (index / parts) * 100, share: chars / most, attempt }],
  );
}
