import type { WaitLimits } from './port.ts';

/** For tests that look at something else: nobody goes back to the queue. */
export const unlimitedWaits: WaitLimits = {
  waitStarted() {},
  waitEnded() {},
  isFull: () => false,
  isLimited: () => false,
  coolDown() {},
};
