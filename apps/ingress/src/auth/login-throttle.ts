import { createHash } from 'node:crypto';

/* Slows the guessing of the admin's password, at the login page and by basic credentials, by network (networks.ts). */

/** Wrong passwords of a network that cost it no time: people mistype. */
const freeFailures = 4;
/** Milliseconds that the first wrong password beyond them costs; each further one costs twice as much. */
const firstWaitMs = 1000;
const longestWaitMs = 60_000;
/** Milliseconds after the last wrong password at which a network starts anew. */
export const forgetMs = 15 * 60_000;
/** Networks that are remembered; beyond them the one that failed first is forgotten. */
export const maxNetworks = 1000;

export type LoginThrottle = {
  /** Milliseconds until the network may try again; 0: it may now. */
  waitOf(network: string): number;
  /** `guess`: what was shown; the same one again is no further guess, but a script with an old password. */
  failed(network: string, guess?: string): void;
  succeeded(network: string): void;
};

export function createLoginThrottle(now: () => number = Date.now): LoginThrottle {
  const failures = new Map<string, { count: number; at: number; guess: string | undefined }>();
  const find = (network: string) => {
    const found = failures.get(network);
    return found && now() - found.at < forgetMs ? found : undefined;
  };
  return {
    waitOf(network) {
      const found = find(network);
      if (!found || found.count <= freeFailures) return 0;
      const costs = firstWaitMs * 2 ** (found.count - freeFailures - 1);
      return Math.max(0, found.at + Math.min(costs, longestWaitMs) - now());
    },
    failed(network, shown) {
      const found = find(network);
      const guess = shown === undefined ? undefined : digestOf(shown);
      if (guess !== undefined && guess === found?.guess) return;
      const count = (found?.count ?? 0) + 1;
      // The map's order is that of the last failures.
      failures.delete(network);
      failures.set(network, { count, at: now(), guess });
      const [oldest] = failures.keys();
      if (failures.size > maxNetworks && oldest !== undefined) failures.delete(oldest);
    },
    succeeded(network) {
      failures.delete(network);
    },
  };
}

const digestOf = (text: string): string => createHash('sha256').update(text).digest('base64');
