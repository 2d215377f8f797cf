import type { WaitLimits } from './port.ts';

/** For tests of other things: with these limits no request goes back to the queue. */
export const unlimitedWaits: WaitLimits = {
  waitStarted() {},
  waitEnded() {},
  isFull: () => false,
  isLimited: () => false,
  coolDown() {},
};
