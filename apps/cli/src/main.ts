#!/usr/bin/env node
import { once } from 'node:events';
import { buildProgram } from './program.ts';
import { runProgram } from './run-program.ts';

/* The command line of operators: it speaks HTTP to an ingress. `doctor` and `config check` need no fleet. */

const { stdout, stderr } = process;
// A reader such as `head` that has seen enough is no error.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(name, () => interrupted.abort());
}

const io = {
  env: process.env,
  signal: interrupted.signal,
  out: (text: string) => void stdout.write(text),
  async pour(text: string) {
    if (!stdout.write(text)) await once(stdout, 'drain');
  },
  err: (text: string) => void stderr.write(text),
};
const code = await runProgram(buildProgram(io), process.argv.slice(2), io);
// What an interrupted command waits for would keep the process.
if (interrupted.signal.aborted) process.exit(code);
process.exitCode = code;
