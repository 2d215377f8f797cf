/* Burns as much CPU as is missing until the whole machine is busy to 80 %. Ends with its parent. */
import { setTimeout as sleep } from 'node:timers/promises';
import { busyShare, readTicks } from './busy.ts';

const WANTED = 0.8;
const SLICE_MS = 20;
const LOOK_MS = 500;

process.on('disconnect', () => process.exit());

let share = 0.5;
let seen = readTicks();
setInterval(() => {
  const now = readTicks();
  share = Math.min(1, Math.max(0, share + (WANTED - busyShare(seen, now)) / 2));
  seen = now;
}, LOOK_MS);

for (;;) {
  const until = performance.now() + SLICE_MS * share;
  while (performance.now() < until);
  await sleep(SLICE_MS * (1 - share));
}
