import { isatty } from 'node:tty';
import type { Logger } from './logger.ts';

/**
 * starting → serving → leaving → draining → stopped; any but the last may be left out. Never back.
 * `leaving`: it serves as before, and reports that it is about to stop.
 */
export type Stage = 'starting' | 'serving' | 'leaving' | 'draining' | 'stopped';

const order: readonly Stage[] = ['starting', 'serving', 'leaving', 'draining', 'stopped'];

export type Lifecycle = {
  readonly stage: Stage;
  /** Aborted when draining begins; waits for new work end with it. */
  readonly draining: AbortSignal;
  /** Advances to a later stage. An earlier or the same stage changes nothing and returns false. */
  advance(to: Exclude<Stage, 'starting'>): boolean;
};

export function createLifecycle(onChange?: (stage: Stage) => void): Lifecycle {
  let stage: Stage = 'starting';
  const drain = new AbortController();
  return {
    get stage() {
      return stage;
    },
    draining: drain.signal,
    advance(to) {
      if (order.indexOf(to) <= order.indexOf(stage)) return false;
      stage = to;
      onChange?.(to);
      if (order.indexOf(to) >= order.indexOf('draining')) drain.abort();
      return true;
    },
  };
}

/** Why a process has to stop, and the time that it has, if the sender gives one. */
export type DrainOrder = {
  readonly reason: 'SIGTERM' | 'SIGINT' | 'drain message' | 'parent is gone';
  readonly withinMs?: number;
};

/** A supervisor's message to its children over IPC: like SIGTERM, but with the time that they have. */
export type DrainMessage = { readonly type: 'drain'; readonly withinMs: number };

/** The same signal arriving again this soon is one signal, sent to the group and passed on by npm. */
const sameSignalMs = 1000;

const signalNumbers = { SIGINT: 2, SIGTERM: 15 } as const;

export type SignalOptions = {
  /** Called once, at the first signal. If it throws, the process ends with code 1. */
  readonly onDrain: (order: DrainOrder) => void | Promise<void>;
  /** Called at a later signal; by default process.exit. */
  readonly exitNow?: (code: number) => void;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
};

/**
 * SIGTERM and SIGINT drain. A signal within a second of the first one is the same order; a later one
 * exits at once with 128 + its number. A child of a supervisor also drains on the supervisor's message, or
 * when the supervisor is gone. Does not keep the process alive. Returns the function that removes the listeners.
 */
export function onSignals({ onDrain, exitNow = exit, log }: SignalOptions): () => void {
  let draining = false;
  let firstSignalAt: number | undefined;

  const drain = (order: DrainOrder) => {
    if (draining) return;
    draining = true;
    log.info(order, 'draining');
    // A throw in onDrain is a promise's rejection in either case.
    void (async () => onDrain(order))().catch((error: unknown) => {
      log.error({ err: error }, 'draining failed');
      exitNow(1);
    });
  };
  const onSignal = (signal: NodeJS.Signals) => {
    if (signal !== 'SIGINT' && signal !== 'SIGTERM') return;
    const now = performance.now();
    // The first signal after a drain message is the same order, too: the supervisor sends both.
    firstSignalAt ??= now;
    drain({ reason: signal });
    if (now - firstSignalAt <= sameSignalMs) return;
    log.warn({ signal }, 'a second signal: exiting at once');
    exitNow(128 + signalNumbers[signal]);
  };
  const onMessage = (message: unknown) => {
    if (isDrainMessage(message)) drain({ reason: 'drain message', withinMs: message.withinMs });
  };
  const onDisconnect = () => drain({ reason: 'parent is gone' });

  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  if (typeof process.send === 'function') {
    process.on('message', onMessage);
    process.on('disconnect', onDisconnect);
    // Listening holds the channel open, and with it the process.
    process.channel?.unref();
    if (!process.connected) onDisconnect();
  }
  return () => {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
    process.off('message', onMessage);
    process.off('disconnect', onDisconnect);
  };
}

/** A supervisor's message to an ingress over IPC: a worker on this machine has exited, for whatever reason. */
export type WorkerEndedMessage = { readonly type: 'worker ended' };

/** Calls `listener` for each such message; never without a supervisor. */
export function onWorkerEnded(listener: () => void): void {
  if (typeof process.send !== 'function') return;
  process.on('message', (message) => {
    if (isMessage(message, 'worker ended')) listener();
  });
}

/** A supervisor's message to its children over IPC: read the config again. */
export type ReloadMessage = { readonly type: 'reload' };

/**
 * Calls `listener` at SIGHUP and at a supervisor's message. A terminal that closes sends SIGHUP to the programs in it, too:
 * such a process drains as at SIGTERM.
 */
export function onReload(listener: (cause: 'SIGHUP' | 'supervisor') => void): void {
  const hasTerminal = isatty(0);
  process.on('SIGHUP', () => {
    if (hasTerminal && !isatty(0)) process.kill(process.pid, 'SIGTERM');
    else listener('SIGHUP');
  });
  if (typeof process.send !== 'function') return;
  process.on('message', (message) => {
    if (isMessage(message, 'reload')) listener('supervisor');
  });
  process.channel?.unref();
}

/** The system's codes for exhausted descriptors, disk or memory: a state of the machine, not a bug. */
const shortages = new Set(['EMFILE', 'ENFILE', 'ENOSPC', 'EDQUOT', 'ENOMEM', 'ENOBUFS', 'EIO']);

/** Whether an error reports an exhausted resource of the machine. */
export const isShortage = (error: unknown): boolean =>
  error instanceof Error && shortages.has(String(Reflect.get(error, 'code')));

/**
 * Logs a bug or a broken invariant and exits with 1, so that the supervisor starts a clean process. A
 * shortage that reaches this handler is logged only: the process's streams are worth more than the
 * timer that failed.
 */
export function exitOnBug(log: Pick<Logger, 'fatal' | 'error'>): void {
  process.on('uncaughtException', (error, origin) => {
    if (isShortage(error)) {
      log.error({ err: error, origin }, 'the machine has run out of a resource');
      return;
    }
    log.fatal({ err: error, origin }, 'a bug: exiting');
    process.exit(1);
  });
  // Without a listener Node raises a rejection as an uncaught exception, with `origin` unhandledRejection.
}

/** Reports to the supervisor, if any, that this process can serve. */
export function reportReady(url?: string): void {
  process.send?.({ type: 'ready', ...(url === undefined ? {} : { url }) });
}

/** Ends a start that no retry can fix: one line for the operator, exit code 78 (EX_CONFIG). */
export function giveUp(reason: string): never {
  process.stderr.write(`millrace: ${reason}\n`);
  process.exit(78);
}

const isDrainMessage = (message: unknown): message is DrainMessage =>
  isMessage(message, 'drain') && typeof Reflect.get(message, 'withinMs') === 'number';

const isMessage = (message: unknown, type: string): message is object =>
  typeof message === 'object' && message !== null && Reflect.get(message, 'type') === type;

function exit(code: number): void {
  process.exit(code);
}
