/** CPU time of process trees, from Linux' /proc. */
import { readdir, readFile } from 'node:fs/promises';

/** USER_HZ, the unit of /proc/PID/stat: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

export interface ProcessStat {
  pid: number;
  parent: number;
  /** Of all its threads, and of the children that it has waited for. */
  cpuSeconds: number;
}

/** The name in parentheses is the process's own choice and may hold spaces and parentheses. */
export function parseStat(line: string): ProcessStat | undefined {
  const pid = Number.parseInt(line, 10);
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const parent = Number(fields[1]);
  const [utime, stime, cutime, cstime] = fields.slice(11, 15).map(Number);
  const ticks = (utime ?? NaN) + (stime ?? NaN) + (cutime ?? NaN) + (cstime ?? NaN);
  if (!Number.isInteger(pid) || !Number.isInteger(parent) || Number.isNaN(ticks)) return undefined;
  return { pid, parent, cpuSeconds: ticks / TICKS_PER_SECOND };
}

/** A role of Millrace by its command line, else the name of the script or program. */
export function roleOf(commandLine: readonly string[]): string {
  const line = commandLine.join(' ');
  const role = /apps\/(ingress|worker|supervisor)\//.exec(line)?.[1];
  if (role !== undefined) return role;
  // Also its forks, which rewrite the append-only file as `redis-aof-rewrite` every now and then.
  if (/(redis|valkey)-(server|aof|rdb)/.test(line)) return 'redis';
  const script = commandLine.slice(1).find((argument) => /\.[cm]?[jt]s$/.test(argument));
  return (script ?? commandLine[0] ?? '?').split('/').at(-1) ?? '?';
}

async function statOf(pid: number): Promise<ProcessStat | undefined> {
  // A process that ends while it is read is simply no longer there.
  return readFile(`/proc/${pid}/stat`, 'utf8').then(parseStat, () => undefined);
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
 * CPU seconds used so far, by role. A process that ends hands its own to the one that waits for it,
 * so that the sum over a tree never loses any; under which role it stands can change by that.
 */
export type CpuReading = Record<string, number>;

export async function readCpu(root: number | undefined): Promise<CpuReading> {
  const tree = root === undefined ? [] : await processTree(root);
  const commandLines = await Promise.all(
    tree.map(({ pid }) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  const reading: CpuReading = {};
  for (const [i, { cpuSeconds }] of tree.entries()) {
    const role = roleOf((commandLines[i] ?? '').split('\0').filter((part) => part !== ''));
    reading[role] = (reading[role] ?? 0) + cpuSeconds;
  }
  return reading;
}

export function cpuBetween(before: CpuReading, after: CpuReading): Record<string, number> {
  return Object.fromEntries(
    Object.entries(after).map(([role, seconds]) => [role, seconds - (before[role] ?? 0)]),
  );
}

export function totalOf(used: Record<string, number>): number {
  return Object.values(used).reduce((sum, seconds) => sum + seconds, 0);
}

/** Bytes in memory of the processes below `root` that have this role. */
export async function residentOf(root: number, role: string): Promise<number> {
  let bytes = 0;
  for (const { pid } of await processTree(root)) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (roleOf(line.split('\0').filter((part) => part !== '')) !== role) continue;
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    bytes += Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
  }
  return bytes;
}
