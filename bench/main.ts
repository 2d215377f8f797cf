import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FAILOVER_HEADING, failoverReport, goalsOfFailover } from './failover/report.ts';
import { runFailover } from './failover/run.ts';
import { figuresOf } from './figures.ts';
import { goalsOf } from './goals.ts';
import { measureAll, type Measurement } from './measure.ts';
import { goalsOfOverload, OVERLOAD_HEADING, overloadReport } from './overload/report.ts';
import { runOverload } from './overload/run.ts';
import { type Options, parseOptions, USAGE } from './options.ts';
import { planOf, type Point } from './plan.ts';
import { goalsOfPools, POOLS_HEADING, poolsReport } from './pools/report.ts';
import { runPools } from './pools/run.ts';
import { reportOf } from './report.ts';
import { startRig } from './rig.ts';
import { goalsOfStrategies, STRATEGIES_HEADING, strategiesReport } from './strategies/report.ts';
import { runStrategies } from './strategies/run.ts';
import { goalsOfSlow, SLOW_HEADING, slowReport } from './slow/report.ts';
import { runSlow } from './slow/run.ts';
import { goalsOfSockets, SOCKETS_HEADING, socketsReport } from './sockets/report.ts';
import { goalsOfShapes, SHAPES_HEADING, shapesReport } from './shapes/report.ts';
import { runShapes, STREAMS } from './shapes/run.ts';
import { runSockets } from './sockets/run.ts';
import type { System } from './systems/system.ts';

const RESULTS = fileURLToPath(new URL('results', import.meta.url));

async function bench(options: Options, signal: AbortSignal): Promise<number> {
  const points = planOf(options);
  const startedAt = new Date();
  process.stdout.write(`${machine()}\n`);
  const loads = points.length > 0 ? await measureLoads(options, points, signal) : undefined;
  if (loads) {
    const report = reportOf(loads.measurements, points, options.systems);
    process.stdout.write(`${loadHeading(options)}\n\n${report}\n\n`);
  }
  const failover = options.cases.includes('failover')
    ? await runFailover(options, signal, progress).finally(() => progress(''))
    : undefined;
  if (failover) {
    process.stdout.write(`${FAILOVER_HEADING}\n\n${failoverReport(failover)}\n\n`);
  }
  const pools = options.cases.includes('pools')
    ? await runPools(options, signal, progress).finally(() => progress(''))
    : undefined;
  if (pools) process.stdout.write(`${POOLS_HEADING}\n\n${poolsReport(pools)}\n\n`);
  const strategies = options.cases.includes('strategies')
    ? await runStrategies(options, signal, progress).finally(() => progress(''))
    : undefined;
  if (strategies) {
    process.stdout.write(`${STRATEGIES_HEADING}\n\n${strategiesReport(strategies)}\n\n`);
  }
  const overload = options.cases.includes('overload')
    ? await runOverload(options, signal, progress).finally(() => progress(''))
    : undefined;
  if (overload) process.stdout.write(`${OVERLOAD_HEADING}\n\n${overloadReport(overload)}\n\n`);
  const sockets = options.cases.includes('sockets')
    ? await runSockets(options, signal, progress).finally(() => progress(''))
    : undefined;
  if (sockets) process.stdout.write(`${SOCKETS_HEADING}\n\n${socketsReport(sockets)}\n\n`);
  const slow = options.cases.includes('slow')
    ? await runSlow(options, signal, progress).finally(() => progress(''))
    : undefined;
  if (slow) process.stdout.write(`${SLOW_HEADING}\n\n${slowReport(slow)}\n\n`);
  const shapes = options.cases.includes('shapes')
    ? await runShapes(options, signal, progress).finally(() => progress(''))
    : undefined;
  if (shapes) process.stdout.write(`${SHAPES_HEADING}\n\n${shapesReport(shapes)}\n\n`);
  const file = options.out ?? defaultFile(startedAt, options);
  await mkdir(dirname(file), { recursive: true });
  const record = {
    startedAt: startedAt.toISOString(),
    machine: { node: process.version, cpus: availableParallelism(), cpu: cpus()[0]?.model },
    options,
    ...(loads && loadRecord(loads, points)),
    ...(failover && { failover: { ...failover, goals: goalsOfFailover(failover) } }),
    ...(overload && { overload: { rounds: overload, goals: goalsOfOverload(overload) } }),
    ...(sockets && { sockets: { ...sockets, goals: goalsOfSockets(sockets) } }),
    ...(slow && { slow: { ...slow, goals: goalsOfSlow(slow) } }),
    ...(shapes && { shapes: { rounds: shapes, goals: goalsOfShapes(shapes) } }),
    ...(pools && { pools: { rounds: pools, goals: goalsOfPools(pools) } }),
    ...(strategies && {
      strategies: { rounds: strategies, goals: goalsOfStrategies(strategies) },
    }),
  };
  await writeFile(file, `${JSON.stringify(record, null, 1)}\n`);
  process.stdout.write(`written to ${file}\n`);
  const isWrong =
    loads?.measurements.some(({ result }) => result.errors > 0 || result.framesLost > 0) ||
    overload?.some(({ burdens }) => burdens.some(({ wrong }) => wrong > 0)) ||
    [...(failover?.rounds ?? []), failover?.soak].some((part) => part && part.wrong.length > 0) ||
    [...(sockets?.wrong ?? []), ...(slow?.wrong ?? [])].length > 0 ||
    shapes?.some(({ whole }) => whole < STREAMS);
  return isWrong ? 1 : 0;
}

interface Loads {
  systems: Pick<System, 'name' | 'versions'>[];
  measurements: Measurement[];
}

async function measureLoads(
  options: Options,
  points: Point[],
  signal: AbortSignal,
): Promise<Loads> {
  const rig = await startRig(options.systems, signal);
  try {
    const measurements = await measureAll(rig, points, options.rounds, signal, progress);
    return { systems: rig.systems.map(({ name, versions }) => ({ name, versions })), measurements };
  } finally {
    progress('stopping');
    await rig.stop();
    progress('');
  }
}

function machine(): string {
  const model = cpus()[0]?.model ?? 'unknown CPU';
  return `Node ${process.version}, ${availableParallelism()} x ${model}.`;
}

function loadHeading({ rounds }: Options): string {
  return (
    `Medians over ${rounds} round(s) (min–max), milliseconds; CPU in per cent of one core.\n` +
    "`direct` is the rig's own limit."
  );
}

function defaultFile(date: Date, { cases }: Options): string {
  const stamp = date.toISOString().slice(0, 19).replaceAll(':', '-');
  return join(RESULTS, `${stamp}-${cases.join('-')}.json`);
}

function loadRecord({ systems, measurements }: Loads, points: Point[]): object {
  return {
    systems,
    goals: goalsOf(measurements),
    points: points.map((point) => ({
      ...point,
      figures: Object.fromEntries(
        systems.map(({ name }) => [name, figuresOf(measurements, point.label, name)]),
      ),
    })),
    measurements,
  };
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
    return await bench(options, interrupted.signal);
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
