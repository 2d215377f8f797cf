import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/* Loaded by a role before its own code: it tells its parent what it holds once all garbage is collected. */

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

process.on('message', (message) => {
  if (message !== 'memory?') return;
  // What the first round lets go of may have held the memory of buffers.
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  process.send?.({ type: 'memory', bytes: heapUsed + external });
});
