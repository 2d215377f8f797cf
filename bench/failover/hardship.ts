/*
 * Loaded into a process of Millrace with `--import`: at random times it blocks the event loop for 50 ms, or
 * forces a full garbage collection.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isMainThread } from 'node:worker_threads';

const BLOCK_MS = 50;
const BETWEEN_MS = 1_000;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function block(): void {
  const until = performance.now() + BLOCK_MS;
  while (performance.now() < until);
}

/** Half as long, up to one and a half times as long as `BETWEEN_MS`, so that no two keep step. */
function nowAndThen(run: () => void): void {
  const again = (): void => {
    run();
    nowAndThen(run);
  };
  setTimeout(again, BETWEEN_MS * (0.5 + Math.random())).unref();
}

if (isMainThread) {
  nowAndThen(block);
  nowAndThen(collect);
}
