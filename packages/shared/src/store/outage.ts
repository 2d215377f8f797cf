import type { Logger } from '../runtime/logger.ts';
import { passesByItself } from './redis-failure.ts';

/*
 * Redis away is one event for an operator, however many commands, connections and timers notice it: one
 * line when it begins, one when it is over.
 */

export type Outage = {
  /** An error that says that Redis is away: true, and it was counted instead of logged. */
  note(error: unknown): boolean;
  /** The connection for commands was lost. */
  lost(): void;
  /** That connection stands again. */
  back(): void;
  /** While Redis is away, or refuses commands: what it said, where it said anything. */
  readonly reason: string | undefined;
};

export type OutageOptions = {
  logger: Pick<Logger, 'info' | 'warn'>;
  /** Whether the connection for commands stands. */
  isReady(): boolean;
  now?(): number;
};

/** Milliseconds without a refusal and with a connection that stands, after which an outage is over. */
const quietMs = 1000;
/**
 * Milliseconds: two waits that run out within this time show that Redis does not answer, although the connection stands. That
 * outage is over after as long without another one.
 */
const silenceMs = 3000;
/** Milliseconds after Redis is back in which waits that began before still run out. */
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
  /** When a wait last ran out while the connection stood. */
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
   * A connection that stands is not enough: a replica without its primary accepts one and refuses the
   * first command. The outage is over after a while without a refusal and without a loss.
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
      // One wait that ran out says nothing of a connection that stands.
      if (!away && kind === 'timeout') {
        const isAgain = now() - silentAt < silenceMs;
        silentAt = now();
        if (isLate || !isAgain) return isLate;
        begin('it does not answer', silenceMs);
      }
      // What began in the outage before is no new one.
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

/** System errors of a connection that broke or did not come about. */
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

/** `timeout`: a wait that ran out, for which Redis may be to blame. */
function kindOf(error: unknown): 'away' | 'timeout' | 'other' {
  if (!(error instanceof Error)) return 'other';
  const { code } = error as Error & { code?: unknown };
  if (typeof code === 'string' && broken.has(code)) return 'away';
  // ioredis' own words for a connection on which nothing comes.
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
