import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/*
 * Code that only a start needs (the config's parser and its schema, a Redis client) takes 40 MB once it is
 * loaded, and the supervisor lives as long as the fleet. So that code runs in a separate process that exits
 * at once and writes its answer as JSON to a descriptor without other output.
 */

export const answerDescriptor = 3;

export type ShortLived<T> = {
  /** 1 if a signal ended it, 127 if it could not be started. */
  readonly exitCode: number;
  /** Undefined if it ended without an answer. */
  readonly answer: T | undefined;
};

/** Runs a program of this folder to its end. It inherits our outputs. Never rejects. */
export async function runShortLived<T>(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<ShortLived<T>> {
  const file = fileURLToPath(new URL(program, import.meta.url));
  const child = spawn(process.execPath, [file, ...args], {
    env,
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  });
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  try {
    const [answer, [code]] = await Promise.all([
      text(child.stdio[answerDescriptor] as Readable),
      ended,
    ]);
    return {
      exitCode: code ?? 1,
      answer: answer === '' ? undefined : (JSON.parse(answer) as T),
    };
  } catch {
    return { exitCode: 127, answer: undefined };
  }
}
