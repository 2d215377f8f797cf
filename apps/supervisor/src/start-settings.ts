import type { Config, StartOptions } from '@millrace/shared/config';
import { runShortLived } from './short-lived.ts';

/** The part of flags, environment and config file that a start needs. */
export type StartSettings = {
  readonly listen: { readonly host: string; readonly port: number; readonly isTls: boolean };
  /** Absent: the embedded Redis. It may contain a password. */
  readonly redisUrl?: string;
  /** Absent: the config names no database. It may hold a password. */
  readonly databaseUrl?: string;
  readonly drainTimeoutMs: number;
  readonly drainDelayMs: number;
  readonly options: StartOptions;
};

export function toStartSettings(config: Config, options: StartOptions): StartSettings {
  const { listen, redis, database, drainTimeoutMs, drainDelayMs } = config;
  return {
    listen: { host: listen.host, port: listen.port, isTls: listen.tls !== undefined },
    ...(redis.url !== undefined && { redisUrl: redis.url }),
    ...(database && { databaseUrl: database.url }),
    drainTimeoutMs,
    drainDelayMs,
    options,
  };
}

/** Ends this process if there is nothing to start: after `--help`, or after printing errors in the config. */
export async function readStartSettings(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<StartSettings> {
  const { answer, exitCode } = await runShortLived<StartSettings>('./read-config.ts', argv, env);
  return answer ?? process.exit(exitCode);
}
