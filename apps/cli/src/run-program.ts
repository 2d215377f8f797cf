import { CommanderError } from 'commander';
import type { Command } from 'commander';
import { CommandFailed, exitCodes } from './io.ts';
import type { Io } from './io.ts';
import { oneLine } from './output/table.ts';

/** Rejects when the signal aborts. */
const interruption = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('interrupted')), { once: true });
  });

/** Runs a command; resolves with the exit code. Rejects only because of a bug. */
export async function runProgram(
  program: Command,
  argv: readonly string[],
  { err, signal }: Io,
): Promise<number> {
  try {
    // A command such as `doctor` waits for answers that no signal ends.
    await Promise.race([program.parseAsync([...argv], { from: 'user' }), interruption(signal)]);
    return 0;
  } catch (error) {
    if (signal.aborted) return exitCodes.interrupted;
    if (error instanceof CommandFailed) {
      if (error.message !== '') err(`millrace: ${oneLine(error.message)}\n`);
      return error.exitCode;
    }
    // Commander has printed its message; a help text that was asked for has code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.usage;
    throw error;
  }
}
