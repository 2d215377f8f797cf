/* Loaded into a process under test ahead of its own code (`--import`): presses it on command. */

/** Milliseconds that one turn of the event loop takes while it is blocked. */
const turnMs = 150;

export type Press =
  /** Every turn of the event loop takes long, until `false`. */
  | { press: 'loop'; on: boolean }
  /** So many megabytes are held in the heap, and no others. */
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
    // Numbers that are no small integers: eight bytes of heap each.
    while (held.length < (message.megabytes ?? 0)) {
      held.push(Array<number>(131_072).fill(held.length + 0.5));
    }
  }
});
// It hears commands, and lives no longer for it.
process.channel?.unref();
