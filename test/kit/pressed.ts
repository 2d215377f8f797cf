/* Loaded into a process under test before its own code (`--import`): overloads it on command. */

/** Milliseconds that one turn of the event loop takes while it is blocked. */
const turnMs = 150;

export type Press =
  /** Makes every turn of the event loop take long, until `false`. */
  | { press: 'loop'; on: boolean }
  /** Holds exactly this many megabytes in the heap. */
  | { press: 'heap'; megabytes: number };

let blocking: NodeJS.Immediate | undefined;
const held: number[][] = [];

function block(): void {
  const until = performance.now() + turnMs;
  while (performance.now() < until);
  blocking = setImmediate(block);
}

process.on('message', (message: Partial<Press>) => {
  if (message.press === 'loop') {
    clearImmediate(blocking);
    if (message.on) block();
  } else if (message.press === 'heap') {
    held.length = 0;
    // Numbers other than small integers: eight bytes of heap each.
    while (held.length < (message.megabytes ?? 0)) {
      held.push(Array<number>(131_072).fill(held.length + 0.5));
    }
  }
});
// Listening for commands must not keep the process alive.
process.channel?.unref();
