import { CommanderError } from 'commander';
import type { Command } from 'commander';
import { CommandFailed, exitCodes } from './io.ts';
import type { Io } from './io.ts';

/** Runs a command; resolves with the exit code. Rejects only because of a bug. */
export async function runProgram(
  program: Command,
  argv: readonly string[],
  { err, signal }: Io,
): Promise<number> {
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommandFailed) {
      if (error.message !== '') err(`millrace: ${error.message}\n`);
      return error.exitCode;
    }
    // Commander has printed its message; a help text that was asked for has code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.usage;
    if (signal.aborted) return exitCodes.interrupted;
    throw error;
  }
}
