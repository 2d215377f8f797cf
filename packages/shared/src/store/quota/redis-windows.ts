import type { Redis } from 'ioredis';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';
import { minuteMs } from './port.ts';
import type { Windows } from './port.ts';
import { slotLength, slotsPerWindow } from './window.ts';

export type RedisWindowsOptions = { redis: Redis; keys: Keyspace; windowMs?: number };

const scripts = {
  take: loadScript(new URL('lua/take.lua', import.meta.url)),
  correct: loadScript(new URL('lua/correct.lua', import.meta.url)),
};

/**
 * Limits that all processes on one Redis share. A call whose reply was lost with its connection is sent again
 * and may count twice: rather too much than too little. During an outage of Redis calls wait;
 * `lenientWindows` is for callers that cannot.
 */
export function createRedisWindows(options: RedisWindowsOptions): Windows {
  const { redis, keys, windowMs = minuteMs } = options;
  const form = [slotLength(windowMs), slotsPerWindow];

  return {
    async take(key, charges) {
      const args = charges.flatMap(({ name, limit, amount }) => [name, limit, amount]);
      const reply = await runScript(redis, scripts.take, [keys.limit(key)], [...form, ...args]);
      const [granted = 0, told = 0, ...rest] = reply as number[];
      const used = rest.slice(0, charges.length);
      const resetMs = rest.slice(charges.length);
      return granted === 1
        ? { kind: 'yes', slot: told, used, resetMs }
        : { kind: 'no', retryAfterMs: told, used, resetMs };
    },
    async correct(key, corrections) {
      const args = corrections.flatMap(({ name, amount, slot = '' }) => [name, amount, slot]);
      await runScript(redis, scripts.correct, [keys.limit(key)], [...form, ...args]);
    },
  };
}
