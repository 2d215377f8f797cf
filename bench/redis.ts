/** Reads the statistics of a system's own Redis. */
import { readFile } from 'node:fs/promises';
import { connectRedis } from '@millrace/shared/store/redis';
import { processTree } from '../test/kit/proc.ts';

export interface RedisReading {
  /** Calls so far, also those that scripts make. */
  commands: number;
  xadds: number;
  /** Runs of scripts and functions. */
  scripts: number;
  /** Bytes. */
  memory: number;
  aof: number;
}

/** The URL of the Redis that listens on a unix socket and runs below `root`. */
export async function redisUrlBelow(root: number): Promise<string> {
  for (const { pid } of await processTree(root)) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const socket = /redis-server.*unixsocket[:\0\s]+([^\0\s]+)/s.exec(line)?.[1];
    if (socket !== undefined) return `unix://${socket}`;
  }
  throw new Error(`no redis-server below process ${root}`);
}

/** Opens a connection for one reading only, so that there is none during the load. */
export async function readRedis(url: string): Promise<RedisReading> {
  const redis = connectRedis(url, { name: 'bench', role: 'command' });
  try {
    return parseInfo(await redis.info('everything'));
  } finally {
    redis.disconnect();
  }
}

export function parseInfo(info: string): RedisReading {
  const value = (name: string): number =>
    Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0);
  const calls = (name: string): number =>
    Number(new RegExp(`^cmdstat_${name}:calls=(\\d+)`, 'm').exec(info)?.[1] ?? 0);
  return {
    commands: value('total_commands_processed'),
    xadds: calls('xadd'),
    scripts: calls('eval') + calls('evalsha') + calls('fcall'),
    memory: value('used_memory'),
    aof: value('aof_current_size'),
  };
}
