import { appendFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

/*
 * Loaded into every process of Millrace (`--import`): records, for each tenth of a second, the largest delay
 * of its event loop, and the CPU time of its longest turn. On a machine with other work, the first is the
 * wait of others, the second its cause.
 */

export type Late = { role: string; at: number; lateMs: number; busyMs: number };

const LOOK_MS = 100;
const RESOLUTION_MS = 5;

const file = process.env['SHAPES_PROBE'];
const role = /apps\/(ingress|worker)\//.exec(process.argv[1] ?? '')?.[1];
if (file !== undefined && role !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  let busyMs = 0;
  let before = process.threadCpuUsage();
  setInterval(() => {
    const { user, system } = process.threadCpuUsage(before);
    before = process.threadCpuUsage();
    busyMs = Math.max(busyMs, (user + system) / 1000);
  }, RESOLUTION_MS).unref();
  setInterval(() => {
    const late: Late = { role, at: Date.now(), lateMs: delay.max / 1e6 - RESOLUTION_MS, busyMs };
    delay.reset();
    busyMs = 0;
    appendFileSync(file, `${JSON.stringify(late)}\n`);
  }, LOOK_MS).unref();
}
