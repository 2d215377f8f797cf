import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CommandFailed } from '../io.ts';
import type { Io } from '../io.ts';

const root = fileURLToPath(new URL('../../../..', import.meta.url));

/** Lines of the fleet's own output that a failed start shows. */
const shownLines = 20;

export type DemoFleet = {
  readonly url: string;
  /** Resolves when all its processes have ended. */
  stop(): Promise<void>;
};

export type StartOptions = {
  /** 0: a free port. */
  port: number;
  workers: number;
  /** Variables of the command; those that name a fleet or a config are left out. */
  env: Io['env'];
  /** Gets the output of the set-up and of the start, line by line, until the fleet is ready. */
  onLine(line: string): void;
};

/** Starts what `npm start` starts without a config, with its data in a folder of its own, which `stop` removes. Throws CommandFailed. */
export async function startDemoFleet(options: StartOptions): Promise<DemoFleet> {
  const { port, workers, env, onLine } = options;
  // Two demonstrations at a time do not share one.
  const folder = await mkdtemp(join(tmpdir(), 'millrace-demo-'));
  const flags = ['--port', port, '--workers', workers, '--data', folder].map(String);
  const child = spawn(
    'sh',
    ['scripts/launch.sh', '--embedded-redis', 'apps/supervisor/src/main.ts', ...flags],
    { cwd: root, env: withoutFleet(env), stdio: ['ignore', 'pipe', 'pipe'] },
  );
  // An interrupted command ends at once; the fleet then stops by itself.
  const end = () => void child.kill('SIGTERM');
  process.once('exit', end);
  const exited = once(child, 'exit').then(() => process.off('exit', end));
  const stop = async (): Promise<void> => {
    end();
    await exited;
    await rm(folder, { recursive: true, force: true });
  };
  let url: string;
  try {
    url = await readUrl(child, onLine);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, stop };
}

/** Variables that would make the start another one than that of a newcomer. */
const fleetVariables = /^(MILLRACE_|REDIS_URL$|DATABASE_URL$|PORT$|HOST$)/;

const withoutFleet = (env: Io['env']): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !fleetVariables.test(name)));

async function readUrl(child: ChildProcess, onLine: (line: string) => void): Promise<string> {
  const last: string[] = [];
  const ready = Promise.withResolvers<string>();
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue;
    createInterface({ input: stream }).on('line', (line) => {
      const url = /^millrace ready (\S+)$/.exec(line)?.[1];
      if (url !== undefined) ready.resolve(url);
      last.push(line);
      if (last.length > shownLines) last.shift();
      onLine(line);
    });
  }
  child.once('error', (error) => ready.reject(error));
  child.once('close', () => {
    ready.reject(new CommandFailed(`the fleet did not start:\n${last.join('\n')}`));
  });
  return ready.promise;
}
