import type { Logger } from './logger.ts';
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
};

export type OutageOptions = {
  logger: Pick<Logger, 'info' | 'warn'>;
  /** Whether the connection for commands stands. */
  isReady(): boolean;
  now?(): number;
};

/** Milliseconds without an error after which an outage is over whose connection for commands stands. */
const quietMs = 1000;
/** Milliseconds after Redis is back in which waits that began before still run out. */
const lateMs = 6000;

export function watchOutage({ logger, isReady, now = Date.now }: OutageOptions): Outage {
  let away: { since: number; errors: number; lastAt: number } | undefined;
  let timer: NodeJS.Timeout | undefined;
  let backAt = -Infinity;

  function begin(reason: string | undefined): void {
    if (away) return;
    away = { since: now(), errors: 0, lastAt: now() };
    logger.warn({ reason }, 'Redis is away');
  }

  function back(): void {
    if (!away) return;
    const { since, errors } = away;
    clearTimeout(timer);
    timer = undefined;
    away = undefined;
    backAt = now();
    logger.info({ awayMs: backAt - since, errors }, 'Redis is back');
  }

  /**
   * Redis refuses commands (its disk is full, it is a replica until a failover is done), or another
   * connection than that for commands is lost: no event says when that is over.
   */
  function backWhenQuiet(): void {
    if (timer || !away || !isReady()) return;
    const wait = away.lastAt + quietMs - now();
    if (wait <= 0) {
      back();
      return;
    }
    timer = setTimeout(() => {
      timer = undefined;
      backWhenQuiet();
    }, wait).unref();
  }

  return {
    note(error) {
      const kind = kindOf(error);
      if (kind === 'other') return false;
      const isLate = now() - backAt < lateMs;
      // A wait that ran out says nothing of a connection that stands.
      if (!away && kind === 'timeout') return isLate;
      // What began in the outage before is no new one.
      if (!away && isLate && isReady()) return true;
      begin(reasonOf(error));
      if (away) {
        away.errors += 1;
        away.lastAt = now();
      }
      backWhenQuiet();
      return true;
    },
    lost: () => begin(undefined),
    back,
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
  return Reflect.get(error, 'waitedForStore') === true ? 'timeout' : 'other';
}

/** Redis did not answer in time. An error of another class says so with the same field. */
export class StoreSilent extends Error {
  override readonly name = 'StoreSilent';
  readonly waitedForStore = true;
}

function reasonOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as Error & { code?: unknown };
  return typeof code === 'string' ? code : error.message.slice(0, 80);
}
