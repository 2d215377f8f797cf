import { blocks, kills } from './deadly-words.ts';

/*
 * Loaded into a worker before its own code (`--import`): requests with these words in them do to it what a
 * request would do for which its code is too slow, or that runs into a bug of the runtime.
 */

/** Milliseconds for which the event loop stands still. */
const blockedMs = 4000;

const parse = JSON.parse;
JSON.parse = (text: string, ...rest: never[]) => {
  if (typeof text === 'string' && text.includes(kills)) process.kill(process.pid, 'SIGKILL');
  if (typeof text === 'string' && text.includes(blocks)) {
    for (const until = performance.now() + blockedMs; performance.now() < until;);
  }
  return parse(text, ...rest) as unknown;
};
