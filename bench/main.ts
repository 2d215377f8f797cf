import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { goalLine } from './goal.ts';
import type { LaneReport } from './lane.ts';
import { LANES } from './lanes.ts';
import { machineLine, readMachine } from './machine.ts';
import { type Options, parseOptions, USAGE } from './options.ts';
import type { RunRecord } from './page/page.ts';
import { nginxVersion } from './systems/nginx.ts';
import type { SystemName } from './systems/system.ts';
import { asText } from './table.ts';

const RESULTS = fileURLToPath(new URL('results', import.meta.url));

async function bench(options: Options, signal: AbortSignal): Promise<number> {
  const startedAt = new Date();
  const machine = await readMachine();
  process.stdout.write(`${machineLine(machine)}\n`);
  const systems = await presentSystems(options.systems);
  const reports: Record<string, LaneReport> = {};
  for (const { key, cases, run } of LANES) {
    if (!cases.some((name) => options.cases.includes(name))) continue;
    const report = await run({ ...options, systems }, signal, progress).finally(() => progress(''));
    process.stdout.write(`${textOf(report)}\n\n`);
    reports[key] = report;
  }
  const record: RunRecord = {
    startedAt: startedAt.toISOString(),
    endedAt: new Date().toISOString(),
    machine,
    argv: process.argv.slice(2),
    reports,
  };
  const file = options.out ?? defaultFile(startedAt, options);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `${JSON.stringify(record, null, 1)}\n`);
  process.stdout.write(`written to ${file}\n`);
  await publish(record, options);
  return Object.values(reports).some(({ isWrong }) => isWrong) ? 1 : 0;
}

async function publish(record: RunRecord, { page, charts }: Options): Promise<void> {
  if (page === undefined && charts === undefined) return;
  // Imported here, because a run without charts need not load the chart library.
  const { chartsBeside, writeCharts, writePage } = await import('./page/page.ts');
  if (page === undefined) await writeCharts(charts ?? '', record);
  else await writePage(page, charts ?? chartsBeside(page), record);
  process.stdout.write(`written to ${[page, charts].filter(Boolean).join(', ')}\n`);
}

/** Without systems that are not installed on the machine. */
async function presentSystems(systems: SystemName[]): Promise<SystemName[]> {
  if (!systems.includes('nginx') || (await nginxVersion()) !== undefined) return systems;
  process.stdout.write('no nginx on this machine: it is left out\n');
  return systems.filter((name) => name !== 'nginx');
}

function textOf({ heading, parts, goals }: LaneReport): string {
  return [heading, asText(parts), goals.map(goalLine).join('\n')]
    .filter((part) => part !== '')
    .join('\n\n');
}

function defaultFile(date: Date, { cases }: Options): string {
  const stamp = date.toISOString().slice(0, 19).replaceAll(':', '-');
  const name = cases.length > 4 ? `${cases.length}-cases` : cases.join('-');
  return join(RESULTS, `${stamp}-${name}.json`);
}

/** One line that is overwritten on a terminal; nothing where output is kept. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

async function main(): Promise<number> {
  let options: Options | 'help';
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return 2;
  }
  if (options === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => interrupted.abort(new Error(`ended by ${name}`)));
  }
  try {
    if (options.from === undefined) return await bench(options, interrupted.signal);
    await publish(JSON.parse(await readFile(options.from, 'utf8')) as RunRecord, options);
    return 0;
  } catch (error) {
    const stopped = interrupted.signal.aborted;
    process.stderr.write(`${String(stopped ? interrupted.signal.reason : describe(error))}\n`);
    return stopped ? 130 : 1;
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}\n${error.cause.message}` : error.message;
}

process.exitCode = await main();
