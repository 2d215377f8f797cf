import { spawn } from 'node:child_process';
import type { ChildProcess, Serializable, StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { processTree } from './proc.ts';

/* Starts processes for tests, bench and crashtest: none of them outlives its `stop`. */

/** Characters of each output that are kept. */
const outputKept = 1_000_000;
/** Characters of the outputs in an error. */
const outputTold = 4_000;
const defaultKillAfterMs = 15_000;
const defaultReadyMs = 20_000;

export type ChildOptions = {
  /** The name in error messages. */
  name: string;
  command: string;
  args: readonly string[];
  env?: NodeJS.ProcessEnv;
  cwd?: string | undefined;
  /** Opens an IPC channel, by which it also notices our end. */
  ipc?: boolean;
  /** Outputs that are discarded, so that no full pipe can block the child. */
  ignore?: readonly ('stdout' | 'stderr')[];
  /** Milliseconds after which `stop` sends SIGKILL to the whole tree; absent: never. */
  killAfterMs?: number;
};

export type Child = {
  readonly process: ChildProcess;
  /** 0 if the program does not exist. */
  readonly pid: number;
  /** Its output so far. */
  readonly stdout: string;
  readonly stderr: string;
  /** Its exit code, or null if a signal killed it; rejects if it could not be started. */
  readonly exited: Promise<number | null>;
  /** Rejects, with its output, if it ends before the work is done. */
  whileItLives<T>(work: Promise<T>): Promise<T>;
  /** The first line that matches, from now on. */
  line(on: 'stdout' | 'stderr', pattern: RegExp): Promise<RegExpExecArray>;
  /** The first message that satisfies, from now on. */
  message<T>(satisfies?: (message: T) => boolean): Promise<T>;
  send(message: Serializable): void;
  /**
   * Sends the signal and waits for the end; the exit code, or null if a signal killed it. A further call
   * sends another signal.
   */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
};

export function spawnChild(options: ChildOptions): Child {
  const {
    name,
    command,
    args,
    env = process.env,
    cwd,
    ipc = false,
    ignore = [],
    killAfterMs,
  } = options;
  const pipe = (output: 'stdout' | 'stderr') => (ignore.includes(output) ? 'ignore' : 'pipe');
  const stdio: StdioOptions = [
    'ignore',
    pipe('stdout'),
    pipe('stderr'),
    ...(ipc ? ['ipc' as const] : []),
  ];
  const child = spawn(command, args, { cwd, env, stdio });
  const written = { stdout: '', stderr: '' };
  for (const output of ['stdout', 'stderr'] as const) {
    // The pipe of a killed process can be reset; `exited` reports how it ended.
    child[output]?.on('error', () => {});
    child[output]?.setEncoding('utf8').on('data', (text: string) => {
      written[output] = (written[output] + text).slice(-outputKept);
    });
  }
  const exited = new Promise<number | null>((resolve, reject) => {
    // After its last output.
    child.once('close', (code) => resolve(code));
    child.once('error', (error) => {
      if (child.pid === undefined) reject(error);
    });
  });
  exited.catch(() => {});
  const isGone = () => child.exitCode !== null || child.signalCode !== null;

  async function whileItLives<T>(work: Promise<T>): Promise<T> {
    work.catch(() => {});
    const dead = exited.then(
      (code) => {
        throw new Error(`exit code ${code}`);
      },
      (error: unknown) => {
        throw error;
      },
    );
    try {
      return await Promise.race([work, dead]);
    } catch (cause) {
      if (!isGone() && child.pid !== undefined) throw cause;
      const printed = `${written.stdout}${written.stderr}`.slice(-outputTold);
      throw new Error(`${name} did not start, or ended. It printed:\n${printed}`, { cause });
    }
  }

  return {
    process: child,
    pid: child.pid ?? 0,
    get stdout() {
      return written.stdout;
    },
    get stderr() {
      return written.stderr;
    },
    exited,
    whileItLives,
    line: (on, pattern) => whileItLives(lineOf(child, on, pattern)),
    message: <T>(satisfies: (message: T) => boolean = () => true) =>
      whileItLives(messageOf(child, satisfies)),
    send: (message) => void child.send(message),
    async stop(signal = 'SIGTERM') {
      if (child.pid === undefined) return null;
      if (isGone()) return child.exitCode;
      const gone = once(child, 'exit');
      const killer =
        killAfterMs && setTimeout(() => void killTree(child.pid as number), killAfterMs);
      child.kill(signal);
      await gone;
      if (killer) clearTimeout(killer);
      return child.exitCode;
    },
  };
}

/**
 * Starts one of our scripts in a separate process with an IPC channel. Its output is shown if it ends during
 * a wait.
 */
export const spawnScript = (file: string, args: readonly string[] = []): Child =>
  spawnChild({
    name: file,
    command: process.execPath,
    args: [...process.execArgv, file, ...args],
    ipc: true,
    ignore: ['stdout'],
  });

export type ReadyOptions = ChildOptions & {
  /** The line on standard output, or on `readyOn`, that reports that it is ready. */
  ready: RegExp;
  readyOn?: 'stdout' | 'stderr';
  readyMs?: number;
  signal: AbortSignal;
};

/**
 * Starts a process and waits for its ready line. Rejects, with its output, if it ends first, prints no such
 * line within `readyMs` (default 20,000) or `signal` fires; it has been stopped by then.
 */
export async function startChild(
  options: ReadyOptions,
): Promise<Child & { readonly ready: RegExpExecArray }> {
  const { name, ready, readyOn = 'stdout', readyMs = defaultReadyMs, signal } = options;
  signal.throwIfAborted();
  const child = spawnChild({ killAfterMs: defaultKillAfterMs, ...options });
  const enough = AbortSignal.any([signal, AbortSignal.timeout(readyMs)]);
  try {
    const line = await aborted(child.line(readyOn, ready), enough);
    return Object.defineProperties({ ready: line } as Child & { ready: RegExpExecArray }, {
      ...Object.getOwnPropertyDescriptors(child),
    });
  } catch (cause) {
    await child.stop();
    signal.throwIfAborted();
    if (cause instanceof Error && cause.message.includes('It printed')) throw cause;
    const printed = `${child.stdout}${child.stderr}`.slice(-outputTold);
    throw new Error(`${name} did not start. It printed:\n${printed}`, { cause });
  }
}

/** Rejects if the signal fires first. */
export async function aborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const fired = Promise.withResolvers<never>();
  const onAbort = () => fired.reject(signal.reason as Error);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, fired.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function lineOf(
  child: ChildProcess,
  on: 'stdout' | 'stderr',
  pattern: RegExp,
): Promise<RegExpExecArray> {
  const output = child[on];
  if (output === null) throw new Error(`no ${on}`);
  const lines = createInterface({ input: output });
  try {
    return await new Promise((resolve) => {
      lines.on('line', (line) => {
        const match = pattern.exec(line);
        if (match) resolve(match);
      });
      child.once('exit', () => lines.close());
    });
  } finally {
    lines.close();
    // Closing the reader pauses the pipe; a full one would block the child later.
    output.resume();
  }
}

const messageOf = <T>(child: ChildProcess, satisfies: (message: T) => boolean): Promise<T> =>
  new Promise((resolve) => {
    const take = (message: unknown) => {
      if (!satisfies(message as T)) return;
      child.off('message', take);
      resolve(message as T);
    };
    child.on('message', take);
  });

async function killTree(root: number): Promise<void> {
  for (const { pid } of await processTree(root)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Already gone.
    }
  }
}
