/** A clock that stands still until it is moved, and its timers. */
export function createClock(start = 1_000_000) {
  let now = start;
  const timers = new Set<{ at: number; act: () => void }>();
  return {
    now: () => now,
    setTimer(act: () => void, ms: number) {
      const timer = { at: now + Math.max(0, ms), act };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    timers: () => timers.size,
    /** Moves on, timer by timer, and lets what they wake run in between. */
    async pass(ms: number): Promise<void> {
      const end = now + ms;
      for (;;) {
        await settled();
        const [next] = [...timers].sort((a, b) => a.at - b.at);
        if (!next || next.at > end) break;
        timers.delete(next);
        now = Math.max(now, next.at);
        next.act();
      }
      now = end;
      await settled();
    },
  };
}

/** Everything that only waits for promises has run. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
