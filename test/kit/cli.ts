import { join } from 'node:path';
import { spawnChild } from './child.ts';
import type { Child } from './child.ts';
import { root } from './roles.ts';

/* The command line of operators, as a real child process. */

const program = join(root, 'apps/cli/src/main.ts');

export type CliOptions = {
  /** More variables; those of this process that name a fleet or a config are left out. */
  env?: Record<string, string>;
};

/** Variables with which a shell may name a fleet. */
const own = new Set(['MILLRACE_URL', 'MILLRACE_CONFIG', 'REDIS_URL', 'DATABASE_URL']);

export function spawnCli(args: readonly string[], { env = {} }: CliOptions = {}): Child {
  const inherited = Object.entries(process.env).filter(([name]) => !own.has(name));
  return spawnChild({
    name: `millrace ${args.join(' ')}`,
    command: process.execPath,
    args: [program, ...args],
    cwd: root,
    env: { ...Object.fromEntries(inherited), ...env },
  });
}

export type CliResult = { code: number | null; stdout: string; stderr: string };

export async function runCli(args: readonly string[], options?: CliOptions): Promise<CliResult> {
  const child = spawnCli(args, options);
  const code = await child.exited;
  return { code, stdout: child.stdout, stderr: child.stderr };
}
