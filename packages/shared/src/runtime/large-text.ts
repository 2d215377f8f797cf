import { setImmediate as turn } from 'node:timers/promises';

/*
 * Each step of handling a text of some megabytes takes tens of milliseconds: decoding, parsing, rewriting,
 * sending. A large text gets a turn of the event loop for each step, so that other work waits for one step only.
 */

/** Characters, or bytes. */
const largeLength = 1024 * 1024;

export const isLarge = ({ length }: { length: number }): boolean => length >= largeLength;

/** Lets the event loop do its other work first. */
export const nextTurn = (): Promise<void> => turn();
