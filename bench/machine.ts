import { execFile } from 'node:child_process';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { promisify } from 'node:util';

/** The machine and the versions of a measurement. */
export interface Machine {
  cpu: string;
  cores: number;
  memoryGb: number;
  kernel: string;
  node: string;
  /** Commit of the checkout; `+` if files differ from it. */
  commit: string;
  redis: string;
}

export async function readMachine(): Promise<Machine> {
  const commit = await outputOf('git', 'rev-parse', '--short', 'HEAD');
  const changes = await outputOf('git', 'status', '--porcelain', '--untracked-files=no');
  const redis = await outputOf('redis-server', '--version');
  return {
    cpu: cpus()[0]?.model ?? 'unknown CPU',
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    node: process.version,
    commit: commit === '' ? 'unknown' : `${commit}${changes === '' ? '' : '+'}`,
    redis: /v=(\S+)/.exec(redis)?.[1] ?? 'unknown',
  };
}

export function machineLine({
  cpu,
  cores,
  memoryGb,
  kernel,
  node,
  commit,
  redis,
}: Machine): string {
  return `Node ${node}, ${cores} x ${cpu}, ${memoryGb} GB, Linux ${kernel}, Redis ${redis}; commit ${commit}.`;
}

/** Empty if the program is missing or fails: a checkout without git can be measured, too. */
async function outputOf(program: string, ...args: string[]): Promise<string> {
  return promisify(execFile)(program, args, { cwd: import.meta.dirname }).then(
    ({ stdout }) => stdout.trim(),
    () => '',
  );
}
