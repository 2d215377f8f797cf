/** CPU time of process trees, from Linux' /proc. */
import { readdir, readFile } from 'node:fs/promises';

/** USER_HZ, the unit of /proc/PID/stat: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

export interface ProcessStat {
  pid: number;
  parent: number;
  /** CPU of all its threads, including ended ones; in whole ticks. */
  cpuSeconds: number;
  /** CPU of the children that it has waited for. */
  childSeconds: number;
}

/** The process chooses the name in parentheses, which may contain spaces and parentheses. */
export function parseStat(line: string): ProcessStat | undefined {
  const pid = Number.parseInt(line, 10);
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const parent = Number(fields[1]);
  const [utime, stime, cutime, cstime] = fields.slice(11, 15).map(Number);
  const own = (utime ?? NaN) + (stime ?? NaN);
  const children = (cutime ?? NaN) + (cstime ?? NaN);
  if (!Number.isInteger(pid) || !Number.isInteger(parent) || Number.isNaN(own + children)) {
    return undefined;
  }
  return {
    pid,
    parent,
    cpuSeconds: own / TICKS_PER_SECOND,
    childSeconds: children / TICKS_PER_SECOND,
  };
}

/** A role of Millrace by its command line, else the name of the script or program. */
export function roleOf(commandLine: readonly string[]): string {
  const line = commandLine.join(' ');
  const role = /apps\/(ingress|worker|supervisor)\//.exec(line)?.[1];
  if (role !== undefined) return role;
  // Including its forks, which rewrite the append-only file as `redis-aof-rewrite`.
  if (/(redis|valkey)-(server|aof|rdb)/.test(line)) return 'redis';
  if (line.startsWith('nginx: ')) return 'nginx';
  const script = commandLine.slice(1).find((argument) => /\.[cm]?[jt]s$/.test(argument));
  return (script ?? commandLine[0] ?? '?').split('/').at(-1) ?? '?';
}

async function statOf(pid: number): Promise<ProcessStat | undefined> {
  // A process that ends while it is read is ignored.
  return readFile(`/proc/${pid}/stat`, 'utf8').then(parseStat, () => undefined);
}

/** Nanoseconds on a CPU of the threads that live now, helpers of the runtime included. */
async function threadSeconds(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lines = await Promise.all(
    threads.map((tid) => readFile(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').catch(() => '0')),
  );
  return lines.reduce((sum, line) => sum + Number.parseInt(line, 10), 0) / 1e9;
}

/** The processes below `root`, itself included; empty once it is gone. */
export async function processTree(root: number): Promise<ProcessStat[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const all = (await Promise.all(pids.map(statOf))).filter((stat) => stat !== undefined);
  const tree = all.filter(({ pid }) => pid === root);
  for (const { pid } of tree) tree.push(...all.filter(({ parent }) => parent === pid));
  return tree;
}

/**
 * CPU seconds used so far, by role. A process that ends passes its CPU to the process that waits for it, so
 * the sum over a tree is never reduced, but the role under which it counts can change.
 */
export type CpuReading = Record<string, { ticks: number; exact: number }>;

export async function readCpu(root: number | undefined): Promise<CpuReading> {
  const tree = root === undefined ? [] : await processTree(root);
  const reading: CpuReading = {};
  for (const { pid, cpuSeconds, childSeconds } of tree) {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const role = roleOf(commandLine.split('\0').filter((part) => part !== ''));
    const sum = (reading[role] ??= { ticks: 0, exact: 0 });
    sum.ticks += cpuSeconds + childSeconds;
    sum.exact += (await threadSeconds(pid)) + childSeconds;
  }
  return reading;
}

/** The error that results from reading a process's two counts one after the other. */
const ROUNDING = 0.05;

/** Exact, unless threads ended in between: then only the tick count includes their CPU. */
export function cpuBetween(before: CpuReading, after: CpuReading): Record<string, number> {
  return Object.fromEntries(
    Object.entries(after).map(([role, { ticks, exact }]) => {
      const inTicks = ticks - (before[role]?.ticks ?? 0);
      const inExact = exact - (before[role]?.exact ?? 0);
      return [role, inTicks > inExact + ROUNDING ? inTicks : inExact];
    }),
  );
}

export function totalOf(used: Record<string, number>): number {
  return Object.values(used).reduce((sum, seconds) => sum + seconds, 0);
}

/** Bytes in memory of the processes below `root`, by role. */
export async function readMemory(root: number): Promise<Record<string, number>> {
  const reading: Record<string, number> = {};
  for (const { pid } of await processTree(root)) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const role = roleOf(line.split('\0').filter((part) => part !== ''));
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    const bytes = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
    reading[role] = (reading[role] ?? 0) + bytes;
  }
  return reading;
}

/** Bytes in memory of the processes below `root` that have this role. */
export async function residentOf(root: number, role: string): Promise<number> {
  return (await readMemory(root))[role] ?? 0;
}
