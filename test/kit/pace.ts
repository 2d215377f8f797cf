/** Milliseconds by which a reader may fall behind its pace and catch up; a longer delay is not caught up. */
const catchUpMs = 500;

/**
 * Limits a source to about `bytesPerSecond`: a reader that is slow but steady, also on a machine that runs
 * its timers late. Call the returned function with the size of each part.
 */
export function createPace(
  source: { pause(): void; resume(): void },
  bytesPerSecond: number,
): (bytes: number) => void {
  let due = 0;
  return (bytes) => {
    const now = performance.now();
    due = Math.max(due, now - catchUpMs) + (bytes / bytesPerSecond) * 1000;
    if (due <= now) return;
    source.pause();
    setTimeout(() => source.resume(), due - now);
  };
}
