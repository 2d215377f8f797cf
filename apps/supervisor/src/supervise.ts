import { spawn, type ChildProcess, type Serializable } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@millrace/shared/runtime/logger';
import { judge } from './restart-policy.ts';

export type ProcessSpec = {
  /** For people: `worker 2`. */
  readonly name: string;
  /** The command line; `earlier` is the URL on which it served before it died, if any. */
  readonly command: (earlier: string | undefined) => readonly [file: string, ...args: string[]];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly readyWhen: Readiness;
  /** The fleet serves without it. Default false. */
  readonly isOptional?: boolean;
};

export type Readiness =
  /** It sends `{ type: 'ready', url? }` over IPC. */
  | { readonly kind: 'message' }
  /** It prints a line that matches; the first group is its URL. */
  | { readonly kind: 'line'; readonly pattern: RegExp }
  /** It answers; a rejection other than the signal's means that it cannot serve. */
  | { readonly kind: 'answer'; readonly ask: (signal: AbortSignal) => Promise<void> };

/** The exit code of a process whose config is invalid (EX_CONFIG). */
const badConfig = 78;

/** A process could not be started, and a retry would not help. */
export class StartFailed extends Error {
  override readonly name = 'StartFailed';
  /** The exit code for the supervisor. */
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

export type Supervised = {
  readonly name: string;
  /** Undefined while there is no process. */
  readonly pid: number | undefined;
  /** The URL on which it serves, if it reports one. Rejects with StartFailed, at the latest when it is stopped. */
  readonly firstReady: Promise<string | undefined>;
  /** Sends a message over IPC; no effect without a process, or a channel to it. */
  tell(message: Serializable): void;
  /**
   * Asks it to drain, kills it if it does not end, and starts it no more. `delayMs`: its configured delay
   * before the drain. Idempotent; never rejects.
   */
  stop(withinMs: number, delayMs?: number): Promise<void>;
  /** Kills it, starts it no more, and resolves when it is gone. */
  kill(): Promise<void>;
};

/**
 * Milliseconds after its drain time at which a process is killed: an ingress may take a second each to hand
 * over requests, to send the last bytes to its readers, and for its last commands to Redis.
 */
const lateMs = 3500;
/**
 * Milliseconds between the drain message, which contains the time, and SIGTERM, for children that do not read
 * messages.
 */
const signalAfterMessageMs = 100;

type State =
  | { readonly kind: 'running'; readonly child: ChildProcess; readonly since: number }
  | { readonly kind: 'waiting'; readonly timer: NodeJS.Timeout }
  | { readonly kind: 'ended' };

/**
 * Starts a process and keeps it running: after a death it is started again, by the rules of judge().
 *
 * It gets a session of its own, so that a signal to the supervisor's process group (an interactive ^C)
 * reaches only the supervisor, which then stops all processes in order; it stays a child of the supervisor.
 * Its standard output goes to our standard error, because ours is for `millrace ready`.
 */
export function supervise(
  spec: ProcessSpec,
  { log, onPid, onExit }: { log: Logger; onPid: () => void; onExit?: () => void },
): Supervised {
  const first = Promise.withResolvers<string | undefined>();
  first.promise.catch(() => undefined); // a caller may wait for it, but need not
  const ended = Promise.withResolvers<void>();
  let state: State = { kind: 'ended' };
  let wanted = true;
  let hasServed = false;
  let servedOn: string | undefined;
  let deathsInARow = 0;

  const start = () => {
    const [file, ...args] = spec.command(servedOn);
    const child = spawn(file, args, {
      cwd: spec.cwd,
      env: spec.env,
      detached: true,
      stdio: stdio(spec.readyWhen),
    });
    const since = performance.now();
    state = { kind: 'running', child, since };
    const over = new AbortController();
    // A process that could not be started emits no 'exit'.
    child.on('error', (error) => {
      if (child.pid !== undefined) return;
      over.abort();
      onEnd(`cannot be started: ${error.message}`, 127, since);
    });
    child.once('exit', (code, signal) => {
      onExit?.();
      over.abort();
      const cause = signal ?? code ?? 0;
      onEnd(
        typeof cause === 'number' ? `exited with code ${cause}` : `was killed by ${cause}`,
        cause,
        since,
      );
    });
    whenReady(child, spec.readyWhen, over.signal).then(onReady, (error: unknown) => {
      if (!over.signal.aborted) giveUp(error instanceof Error ? error.message : String(error), 1);
    });
    onPid();
  };

  const onReady = (url: string | undefined) => {
    if (hasServed) log.info({ process: spec.name }, 'serving again');
    hasServed = true;
    servedOn = url;
    first.resolve(url);
  };

  const onEnd = (what: string, cause: number | NodeJS.Signals, since: number) => {
    const aliveMs = performance.now() - since;
    if (!wanted) return end();
    const verdict = judge({ cause, aliveMs, hasServed: hasServed || mayWait(cause), deathsInARow });
    if (verdict.kind === 'give up') {
      giveUp(`${what} before it could serve`, typeof cause === 'number' ? cause || 1 : 1);
      return end();
    }
    deathsInARow = verdict.deathsInARow;
    log.warn({ process: spec.name, restartInMs: verdict.afterMs }, `${spec.name} ${what}`);
    state = { kind: 'waiting', timer: setTimeout(start, verdict.afterMs) };
    onPid();
  };

  /** A process that others do not wait for is started again, unless its config is invalid. */
  const mayWait = (cause: number | NodeJS.Signals) =>
    spec.isOptional === true && cause !== badConfig;

  const giveUp = (reason: string, exitCode: number) => {
    wanted = false;
    first.reject(new StartFailed(`${spec.name} ${reason}`, exitCode));
  };

  const end = () => {
    state = { kind: 'ended' };
    first.reject(new StartFailed(`${spec.name} was stopped before it could serve`, 1));
    ended.resolve();
    onPid();
  };

  /** Prevents further starts; returns the process to end, if one runs. */
  const retire = (): ChildProcess | undefined => {
    wanted = false;
    if (state.kind === 'running') return state.child;
    if (state.kind === 'waiting') clearTimeout(state.timer);
    end();
    return undefined;
  };

  start();
  return {
    name: spec.name,
    get pid() {
      return state.kind === 'running' ? state.child.pid : undefined;
    },
    firstReady: first.promise,
    tell(message) {
      if (state.kind === 'running' && state.child.connected) state.child.send(message, () => {});
    },
    async stop(withinMs, delayMs = 0) {
      const child = retire();
      if (child)
        await drain(child, { withinMs, delayMs }, ended.promise, () => {
          log.warn({ process: spec.name }, `${spec.name} did not end in time: killing it`);
        });
      await ended.promise;
    },
    async kill() {
      retire()?.kill('SIGKILL');
      await ended.promise;
    },
  };
}

async function drain(
  child: ChildProcess,
  { withinMs, delayMs }: { withinMs: number; delayMs: number },
  ended: Promise<void>,
  onLate: () => void,
): Promise<void> {
  const over = new AbortController();
  const after = async (ms: number, run: () => void) => {
    const waited = await sleep(ms, true, { signal: over.signal }).catch(() => false);
    if (waited) run();
  };
  const told = child.connected && child.send({ type: 'drain', withinMs }, () => undefined);
  void after(told ? signalAfterMessageMs : 0, () => child.kill('SIGTERM'));
  void after(delayMs + withinMs + lateMs, () => {
    onLate();
    child.kill('SIGKILL');
  });
  await ended;
  over.abort();
}

function stdio(readyWhen: Readiness): ('ignore' | 'inherit' | 'pipe' | 'ipc' | number)[] {
  if (readyWhen.kind === 'message') return ['ignore', 2, 'inherit', 'ipc'];
  if (readyWhen.kind === 'line') return ['ignore', 'pipe', 'inherit', 'ipc'];
  return ['ignore', 2, 'inherit'];
}

/** Resolves with the URL when the process is ready; never resolves for one that never is. */
function whenReady(
  child: ChildProcess,
  readyWhen: Readiness,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (readyWhen.kind === 'answer') return readyWhen.ask(signal).then(() => undefined);
  return new Promise((resolve) => {
    if (readyWhen.kind === 'message') {
      child.on('message', (message) => {
        if (typeof message !== 'object' || !('type' in message) || message.type !== 'ready') return;
        resolve('url' in message && typeof message.url === 'string' ? message.url : undefined);
      });
    } else if (child.stdout) {
      // Read to the end, because a full pipe would block the process.
      createInterface({ input: child.stdout }).on('line', (line) => {
        const match = readyWhen.pattern.exec(line);
        if (match) resolve(match[1]);
      });
    }
  });
}
