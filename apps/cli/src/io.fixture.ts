import { buildProgram } from './program.ts';
import { runProgram } from './run-program.ts';
import type { Io } from './io.ts';

/** Runs a command within this process. */
export async function runHere(argv: readonly string[], env: Io['env'] = {}) {
  const written = { out: '', err: '' };
  const io: Io = {
    env,
    signal: new AbortController().signal,
    out: (text) => void (written.out += text),
    pour: async (text) => void (written.out += text),
    err: (text) => void (written.err += text),
  };
  const code = await runProgram(buildProgram(io), argv, io);
  return { code, ...written };
}
