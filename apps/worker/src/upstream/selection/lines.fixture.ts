import type { LineWatch } from './port.ts';

/** For tests that look at something else: nobody goes back to the queue. */
export const unwatched: LineWatch = {
  sat() {},
  left() {},
  isFull: () => false,
  isLimited: () => false,
  rest() {},
};
