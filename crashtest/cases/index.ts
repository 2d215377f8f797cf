import type { CrashCase } from '../case.ts';
import { backups } from './backups.ts';
import { before } from './before.ts';
import { everyTargetFails } from './dead-ends.ts';
import { clientLeaves } from './departures.ts';
import { longStreamsRestart } from './drain.ts';
import { ingressKilled } from './ingress.ts';
import { midway } from './midway.ts';
import { outage } from './outage.ts';
import { redisOutOfMemory, redisRestarts } from './redis.ts';
import { rollingRestart } from './rolling.ts';
import { workerHangs, workerKilled } from './workers.ts';

export const CASES: readonly CrashCase[] = [
  ...[...before, ...midway, outage].sort((a, b) => a.id.localeCompare(b.id)),
  ...backups,
  workerKilled,
  workerHangs,
  ingressKilled,
  rollingRestart,
  redisRestarts,
  redisOutOfMemory,
  everyTargetFails,
  clientLeaves,
  longStreamsRestart,
];

/** The families of cases, by the first letter of their ids. */
export const FAMILIES: Readonly<Record<string, string>> = {
  S: 'public catalogue',
  B: 'backups that do not repeat the answer',
  M: 'processes',
};
