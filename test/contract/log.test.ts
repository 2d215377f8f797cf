import { afterAll, beforeAll, describe } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';
import { openMemoryLog, openRedisLog, openTakenLog } from './log-adapters.ts';
import type { LogUnderTest } from './log-adapters.ts';
import { endingContract } from './log-ending.contract.ts';
import { liveContract } from './log-live.contract.ts';
import { onceContract } from './log-once.contract.ts';
import { packingContract } from './log-packing.contract.ts';
import { readingContract } from './log-reading.contract.ts';
import { writingContract } from './log.contract.ts';
import { submitContract } from './submit.contract.ts';

// One port, two adapters, one suite: what tests run on the memory log holds for the one on Redis.

function logContract(open: () => LogUnderTest): void {
  submitContract(open);
  writingContract(open);
  onceContract(open);
  endingContract(open);
  readingContract(open);
  liveContract(open);
  packingContract(open);
}

describe('the log in memory', () => {
  logContract(openMemoryLog);
});

describe('the log on Redis', () => {
  let server: TestRedis;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.close());

  logContract(() => openRedisLog(server));

  // What the script does that takes the jobs is what `seal` does.
  describe('sealed as its job is taken', () => {
    for (const contract of [writingContract, endingContract, readingContract, liveContract]) {
      contract(() => openTakenLog(server));
    }
  });
});
