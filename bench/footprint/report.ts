import { spreadOf } from '../compare/figures.ts';
import { atMost, type Goal } from '../goal.ts';
import { median } from '../load/samples.ts';
import { totalOf } from '../../test/kit/proc.ts';
import { number, type Part, table } from '../table.ts';
import type { IdleResult, IdleWindow } from './idle.ts';
import { LOAD_REQUESTS, type MemoryResult, RECOVERY_MS } from './memory.ts';

export const IDLE_HEADING =
  'idle: each system alone with nothing to do, each second; medians of the windows (min–max).';

export const MEMORY_HEADING =
  `memory: each system alone; MB resident when fresh, after ${LOAD_REQUESTS.toLocaleString('en-US')} requests of 20 chunks at 64 at a time,\n` +
  `and ${RECOVERY_MS / 1_000} s later.`;

const MOMENTS = ['idle', 'afterLoad', 'recovered'] as const;
const MEGABYTE = 1024 * 1024;

export function idleReport(results: readonly IdleResult[]): Part[] {
  const rows = results.map(({ system, windows }) => {
    const spread = (of: (window: IdleWindow) => number | undefined, digits: number): string => {
      const values = windows.map(of).filter((value) => value !== undefined);
      if (values.length === 0) return '-';
      const { median: middle, min, max } = spreadOf(values);
      return `${number(middle, digits)} (${number(min, digits)}–${number(max, digits)})`;
    };
    return [
      system,
      spread(({ cpuMs }) => totalOf(cpuMs), 1),
      spread(({ redis }) => redis?.commands, 0),
      spread(({ redis }) => redis?.scripts, 0),
      spread(({ redis }) => redis && redis.aofBytes / 1024, 2),
    ];
  });
  const head = ['idle', 'CPU ms', 'Redis commands', 'scripts', 'AOF KB'];
  const shares = results.flatMap(({ system, windows }) => {
    const roles = Object.keys(windows[0]?.cpuMs ?? {}).sort();
    if (roles.length < 2) return [];
    const parts = roles.map((role) => {
      const ms = median(windows.map(({ cpuMs }) => cpuMs[role] ?? 0));
      return `${role} ${number(ms, 1)}`;
    });
    return [`${system}'s CPU: ${parts.join(', ')}`];
  });
  return [table(head, rows), ...shares];
}

export function memoryReport(results: readonly MemoryResult[]): Part[] {
  const rows = results.map((result) => [
    result.system,
    ...MOMENTS.map((moment) => number(totalOf(result[moment]) / MEGABYTE)),
    result.redisBytesPerRequest === undefined ? '-' : number(result.redisBytesPerRequest),
    number(result.errors),
  ]);
  const head = ['memory', 'idle MB', 'after load', 'recovered', 'Redis bytes/request', 'errors'];
  const parts = results.flatMap((result) => {
    const roles = Object.keys(result.idle).sort();
    if (roles.length < 2) return [];
    return roles.map((role) => [
      `${result.system} ${role}`,
      ...MOMENTS.map((moment) => number((result[moment][role] ?? 0) / MEGABYTE)),
    ]);
  });
  return [
    table(head, rows),
    ...(parts.length > 0 ? [table(['of it', 'idle MB', 'after load', 'recovered'], parts)] : []),
  ];
}

export function goalsOfIdle(results: readonly IdleResult[]): Goal[] {
  const windows = results.find(({ system }) => system === 'millrace')?.windows ?? [];
  const cpu = median(windows.map(({ cpuMs }) => totalOf(cpuMs)));
  const aof = median(windows.map(({ redis }) => (redis?.aofBytes ?? Number.NaN) / 1024));
  return [
    atMost('idle: CPU <= 20 ms a second', cpu, 20, 'ms'),
    atMost('idle: append-only file <= 2 KB a second', aof, 2, 'KB'),
  ];
}

export function goalsOfMemory(results: readonly MemoryResult[]): Goal[] {
  const ours = results.find(({ system }) => system === 'millrace');
  const after = ours ? totalOf(ours.afterLoad) / MEGABYTE : Number.NaN;
  const kept = (ours?.redisBytesPerRequest ?? Number.NaN) / 1024;
  return [
    atMost('memory: everything after load <= 600 MB', after, 600, 'MB'),
    atMost('memory: Redis keeps <= 3.2 KB of a request', kept, 3.2, 'KB'),
  ];
}
