import { setImmediate as turn } from 'node:timers/promises';

/*
 * Reading a text of some megabytes takes tens of milliseconds in each of its steps: to decode it, to parse
 * it, to make another one of it, to send it. Each step of a large one has a turn of the event loop of its
 * own, so that what waits for the loop waits for one of them.
 */

/** Characters, or bytes. */
const largeLength = 1024 * 1024;

export const isLarge = ({ length }: { length: number }): boolean => length >= largeLength;

/** Lets the event loop do what it has to do first. */
export const nextTurn = (): Promise<void> => turn();
