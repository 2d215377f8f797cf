import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { processTree } from './proc.ts';

const OUTPUT_KEPT = 4_000;
const STOP_MS = 15_000;

export interface ChildOptions {
  name: string;
  command: string;
  args: string[];
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** The line on standard output, or on `readyOn`, that says it can serve. */
  ready: RegExp;
  readyOn?: 'stdout' | 'stderr';
  readyMs?: number;
  /** Gives it a channel, and with it the sight of our own end. */
  ipc?: boolean;
  signal: AbortSignal;
}

export interface Child {
  pid: number;
  process: ChildProcess;
  ready: RegExpExecArray;
  /** SIGTERM, and SIGKILL for the whole tree when that is not enough. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts a process and waits for its ready line. Rejects, with what it printed, when it ends first,
 * says nothing within `readyMs` (default 20,000) or `signal` fires; it has been stopped by then.
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  const { name, command, args, cwd, env, ipc = false, ready, readyMs = 20_000 } = options;
  options.signal.throwIfAborted();
  const child = spawn(command, args, {
    cwd,
    env: env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe', ...(ipc ? (['ipc'] as const) : [])],
  });
  const stop = stopper(child);
  let output = '';
  const keep = (bytes: Buffer): void => {
    output = (output + bytes.toString()).slice(-OUTPUT_KEPT);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  try {
    const line = await readyLine(
      child,
      options.readyOn ?? 'stdout',
      ready,
      AbortSignal.any([options.signal, AbortSignal.timeout(readyMs)]),
    );
    return { pid: child.pid ?? 0, process: child, ready: line, stop };
  } catch (cause) {
    await stop();
    options.signal.throwIfAborted();
    throw new Error(`${name} did not start. It printed:\n${output}`, { cause });
  }
}

async function readyLine(
  child: ChildProcess,
  on: 'stdout' | 'stderr',
  ready: RegExp,
  signal: AbortSignal,
): Promise<RegExpExecArray> {
  const output = child[on];
  if (output === null) throw new Error(`no ${on}`);
  const lines = createInterface({ input: output });
  const ended = Promise.race([
    once(child, 'exit', { signal }).then(([code]) =>
      Promise.reject(new Error(`exit code ${code}`)),
    ),
    once(child, 'error', { signal }).then(([error]) => Promise.reject(error as Error)),
  ]);
  const found = new Promise<RegExpExecArray>((resolve) => {
    lines.on('line', (line) => {
      const match = ready.exec(line);
      if (match) resolve(match);
    });
  });
  try {
    return await Promise.race([found, ended]);
  } finally {
    lines.close();
    // Closing the reader pauses the pipe; a full one would block the child later.
    output.resume();
  }
}

function stopper(child: ChildProcess): () => Promise<void> {
  let stopped: Promise<void> | undefined;
  const isGone = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const stop = async (): Promise<void> => {
    if (child.pid === undefined || isGone()) return;
    const gone = once(child, 'exit');
    const killer = setTimeout(() => void killTree(child.pid as number), STOP_MS);
    child.kill('SIGTERM');
    await gone;
    clearTimeout(killer);
  };
  return () => (stopped ??= stop());
}

async function killTree(root: number): Promise<void> {
  for (const { pid } of await processTree(root)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Already gone.
    }
  }
}
