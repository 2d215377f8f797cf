/** Milliseconds by which a reader may be behind its pace and catch up; what is behind that is forgotten. */
const catchUpMs = 500;

/**
 * Lets a source give about so many bytes in a second: a reader that is slow but steady, also on a machine that
 * runs its timers late. Call what it returns with the size of each part.
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
