import type { Live } from '../../api/types.ts';

/** Looks that lie further apart say nothing of this moment. */
const mostSeconds = 5;

/** Tokens per second of all streams; undefined if a look does not have all of them, or the looks lie too far apart. */
export function tokenRate(before: Live, now: Live): number | undefined {
  const seconds = (Date.parse(now.at) - Date.parse(before.at)) / 1000;
  if (before.truncated || now.truncated || !(seconds > 0 && seconds <= mostSeconds)) {
    return undefined;
  }
  const known = new Map(before.running.map((one) => [one.id, one.output_tokens]));
  let tokens = 0;
  for (const one of now.running) {
    tokens += Math.max(0, one.output_tokens - (known.get(one.id) ?? 0));
  }
  return Math.round(tokens / seconds);
}
