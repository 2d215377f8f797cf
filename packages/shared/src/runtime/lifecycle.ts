import type { Logger } from './logger.ts';

/**
 * starting → serving → leaving → draining → stopped; any but the last may be left out. Never back.
 * `leaving`: it serves as before, and says that this is about to end.
 */
export type Stage = 'starting' | 'serving' | 'leaving' | 'draining' | 'stopped';

const order: readonly Stage[] = ['starting', 'serving', 'leaving', 'draining', 'stopped'];

export type Lifecycle = {
  readonly stage: Stage;
  /** Aborted when draining begins: what waits for new work gives up here. */
  readonly draining: AbortSignal;
  /** Goes on to a later stage; going back, or staying, changes nothing and returns false. */
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

/** Why a process is to stop, and what it may take, where whoever asks for it says so. */
export type DrainOrder = {
  readonly reason: 'SIGTERM' | 'SIGINT' | 'drain message' | 'parent is gone';
  readonly withinMs?: number;
};

/** What a supervisor tells its children over IPC: as SIGTERM, but with the time they may take. */
export type DrainMessage = { readonly type: 'drain'; readonly withinMs: number };

/** The same signal arriving again this soon is one signal, sent to the group and passed on by npm. */
const sameSignalMs = 1000;

const signalNumbers = { SIGINT: 2, SIGTERM: 15 } as const;

export type SignalOptions = {
  /** Called once, at the first signal. What it throws ends the process with code 1. */
  readonly onDrain: (order: DrainOrder) => void | Promise<void>;
  /** What a later signal does; by default process.exit. */
  readonly exitNow?: (code: number) => void;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
};

/**
 * SIGTERM and SIGINT drain. Any of them within a second of the first is the same order; a later one
 * exits at once with 128 + its number. A child of a supervisor also drains when the supervisor says
 * so or is gone. Keeps no process alive by itself. Returns the function that ends the listening.
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
    // Also the first one after a drain message is no impatience: the supervisor sends both.
    firstSignalAt ??= now;
    drain({ reason: signal });
    if (now - firstSignalAt <= sameSignalMs) return;
    log.warn({ signal }, 'asked again: exiting at once');
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

/** What a supervisor tells an ingress over IPC: a worker on this machine has ended, by itself or not. */
export type WorkerEndedMessage = { readonly type: 'worker ended' };

/** Calls `listener` each time; never where no supervisor is. */
export function onWorkerEnded(listener: () => void): void {
  if (typeof process.send !== 'function') return;
  process.on('message', (message) => {
    if (isMessage(message, 'worker ended')) listener();
  });
}

/** What the system says when descriptors, disk or memory are used up: a state of the machine, and no bug. */
const shortages = new Set(['EMFILE', 'ENFILE', 'ENOSPC', 'EDQUOT', 'ENOMEM', 'ENOBUFS', 'EIO']);

/** Whether an error says that the machine has run out of something. */
export const isShortage = (error: unknown): boolean =>
  error instanceof Error && shortages.has(String(Reflect.get(error, 'code')));

/**
 * A bug or a broken invariant: logs it and exits 1, so that the supervisor starts a clean process. A
 * shortage that reaches this far is logged and the process goes on: its streams are worth more than
 * the timer that failed.
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
  // Without a listener Node raises a rejection as an uncaught exception; the origin tells.
}

/** Tells the supervisor, if there is one, that this process can serve. */
export function reportReady(url?: string): void {
  process.send?.({ type: 'ready', ...(url === undefined ? {} : { url }) });
}

/** A start that cannot succeed by trying again: one line for the operator, exit code 78 (EX_CONFIG). */
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
