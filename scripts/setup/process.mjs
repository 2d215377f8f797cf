// The output of set-up, and the commands that it runs.

import { spawn } from 'node:child_process';

/** Ends set-up with a message for the user; never with the stack trace of a bug. */
export class SetupError extends Error {}

/** One line of progress. On standard error: standard output belongs to the program that follows. */
export function say(line) {
  process.stderr.write(`setup: ${line}\n`);
}

const STILL_BUSY_MS = 15_000;
const COMMAND_LIMIT_MS = 20 * 60_000;

/**
 * Runs a command with its output shown, and a sign of life while it says nothing.
 * @param {string} doing  what the command is doing, for the sign of life: "installing packages"
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, env?: Record<string, string | undefined>, signal: AbortSignal }} options
 * @returns {Promise<number>} its exit code; 127 when it could not be started
 * @throws the signal's reason, once the command has ended
 */
export async function run(doing, command, args, { cwd, env, signal }) {
  signal.throwIfAborted();
  const started = Date.now();
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 2, 2] });
  const stopChild = () => child.kill('SIGTERM');
  signal.addEventListener('abort', stopChild);
  const limit = setTimeout(() => {
    say(`${doing} has taken more than ${COMMAND_LIMIT_MS / 60_000} minutes: giving up`);
    stopChild();
  }, COMMAND_LIMIT_MS);
  const signOfLife = setInterval(() => {
    say(`still ${doing} (${Math.round((Date.now() - started) / 1000)} s)`);
  }, STILL_BUSY_MS);
  try {
    return await new Promise((resolve) => {
      child.once('error', () => resolve(127));
      child.once('exit', (code) => resolve(code ?? 1));
    });
  } finally {
    clearTimeout(limit);
    clearInterval(signOfLife);
    signal.removeEventListener('abort', stopChild);
    signal.throwIfAborted();
  }
}
