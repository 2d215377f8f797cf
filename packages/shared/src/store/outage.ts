import type { Logger } from '../runtime/logger.ts';
import { passesByItself } from './redis-failure.ts';

/*
 * Combines the errors of an outage of Redis, however many commands, connections and timers notice it, into
 * two log lines: one when it begins, one when it ends.
 */

export type Outage = {
  /**
   * Counts an error that an outage of Redis causes, and returns true; false for any other error, which the
   * caller logs.
   */
  note(error: unknown): boolean;
  /** The connection for commands was lost. */
  lost(): void;
  /** The connection for commands is up again. */
  back(): void;
  /** The error message during an outage; undefined if there is no outage. */
  readonly reason: string | undefined;
};

export type OutageOptions = {
  logger: Pick<Logger, 'info' | 'warn'>;
  /** Whether the connection for commands is up. */
  isReady(): boolean;
  now?(): number;
};

/** Milliseconds without a refusal and with a working connection after which an outage is over. */
const quietMs = 1000;
/**
 * Milliseconds: two timeouts within this time show that Redis does not answer although the connection is up.
 * Such an outage is over after the same time without a further timeout.
 */
const silenceMs = 3000;
/** Milliseconds after the end of an outage in which waits that began during it may still time out. */
const lateMs = 6000;

type Away = {
  since: number;
  errors: number;
  /** When Redis last refused, or a connection was last lost. */
  lastAt: number;
  reason: string;
  /** Milliseconds without a sign of the outage after which it is over. */
  quietMs: number;
};

export function watchOutage({ logger, isReady, now = Date.now }: OutageOptions): Outage {
  let away: Away | undefined;
  let timer: NodeJS.Timeout | undefined;
  let backAt = -Infinity;
  /** When a wait last timed out while the connection was up. */
  let silentAt = -Infinity;

  function begin(reason: string | undefined, quiet = quietMs): Away {
    if (away) {
      away.lastAt = now();
      return away;
    }
    away = {
      since: now(),
      errors: 0,
      lastAt: now(),
      reason: reason ?? 'it is away',
      quietMs: quiet,
    };
    logger.warn({ reason }, 'Redis is away');
    return away;
  }

  /**
   * A working connection is not enough: a replica without its primary accepts one and refuses the first
   * command. The outage is over after a time without a refusal and without a loss.
   */
  function endWhenQuiet(): void {
    if (timer || !away || !isReady()) return;
    const wait = away.lastAt + away.quietMs - now();
    if (wait > 0) {
      timer = setTimeout(() => {
        timer = undefined;
        endWhenQuiet();
      }, wait).unref();
      return;
    }
    const { since, errors, lastAt } = away;
    away = undefined;
    backAt = now();
    logger.info({ awayMs: lastAt - since, errors }, 'Redis is back');
  }

  return {
    note(error) {
      const kind = kindOf(error);
      if (kind === 'other') return false;
      const isLate = now() - backAt < lateMs;
      // A single timeout proves nothing about a connection that is up.
      if (!away && kind === 'timeout') {
        const isAgain = now() - silentAt < silenceMs;
        silentAt = now();
        if (isLate || !isAgain) return isLate;
        begin('it does not answer', silenceMs);
      }
      // A wait that began in the previous outage does not begin a new one.
      if (!away && isLate && isReady()) return true;
      const one = kind === 'timeout' && away ? away : begin(reasonOf(error));
      one.errors += 1;
      if (kind === 'timeout' && one.quietMs === silenceMs) one.lastAt = now();
      endWhenQuiet();
      return true;
    },
    lost() {
      begin(undefined);
    },
    back() {
      if (away) away.lastAt = now();
      endWhenQuiet();
    },
    get reason() {
      return away?.reason;
    },
  };
}

/** System errors of a connection that broke or could not be opened. */
const broken = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOENT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/** `timeout`: a wait that timed out, perhaps because of Redis. */
function kindOf(error: unknown): 'away' | 'timeout' | 'other' {
  if (!(error instanceof Error)) return 'other';
  const { code } = error as Error & { code?: unknown };
  if (typeof code === 'string' && broken.has(code)) return 'away';
  // ioredis' messages for a connection without an answer.
  if (passesByItself(error) || /^(Socket timeout|connect ETIMEDOUT)/.test(error.message)) {
    return 'away';
  }
  return error instanceof StoreSilent ? 'timeout' : 'other';
}

/** Redis did not answer in time. */
export class StoreSilent extends Error {
  override readonly name = 'StoreSilent';
}

function reasonOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as Error & { code?: unknown };
  return typeof code === 'string' ? code : error.message.slice(0, 80);
}
