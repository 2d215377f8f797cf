/* Loaded into a process before its own code (`--import`): keeps its event loop late until it ends. */

const everyMs = 210;
const blockedMs = 200;

setInterval(() => {
  for (const until = performance.now() + blockedMs; performance.now() < until;);
}, everyMs);
