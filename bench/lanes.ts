import { compare } from './compare/run.ts';
import { DENSITY_HEADING, densityReport, goalsOfDensity } from './density/report.ts';
import { runDensity } from './density/run.ts';
import { FAILOVER_HEADING, failoverReport, goalsOfFailover } from './failover/report.ts';
import { runFailover } from './failover/run.ts';
import { runIdle } from './footprint/idle.ts';
import { runMemory } from './footprint/memory.ts';
import {
  goalsOfIdle,
  goalsOfMemory,
  IDLE_HEADING,
  idleReport,
  MEMORY_HEADING,
  memoryReport,
} from './footprint/report.ts';
import type { Lane, LaneReport } from './lane.ts';
import { type CaseName, LOAD_CASES, type Options } from './options.ts';
import { FORMATS_HEADING, formatsReport, goalsOfFormats } from './formats/report.ts';
import { runFormats } from './formats/run.ts';
import { goalsOfLedger, LEDGER_HEADING, ledgerReport } from './ledger/report.ts';
import { runLedger } from './ledger/run.ts';
import { goalsOfOverload, OVERLOAD_HEADING, overloadReport } from './overload/report.ts';
import { runOverload } from './overload/run.ts';
import { goalsOfPools, POOLS_HEADING, poolsReport } from './pools/report.ts';
import { runPools } from './pools/run.ts';
import { goalsOfShapes, SHAPES_HEADING, shapesReport } from './shapes/report.ts';
import { runShapes, STREAMS } from './shapes/run.ts';
import { goalsOfSlow, SLOW_HEADING, slowReport } from './slow/report.ts';
import { runSlow } from './slow/run.ts';
import { goalsOfSockets, SOCKETS_HEADING, socketsReport } from './sockets/report.ts';
import { runSockets } from './sockets/run.ts';
import { CONSOLE_HEADING, consoleReport, goalsOfConsole } from './console/report.ts';
import { runConsole } from './console/run.ts';
import { COST_HEADING, costReport, goalsOfCost } from './cost/report.ts';
import { runCost } from './cost/run.ts';
import { goalsOfStrategies, STRATEGIES_HEADING, strategiesReport } from './strategies/report.ts';
import { runStrategies } from './strategies/run.ts';

/** In the order they run. */
export const LANES: readonly Lane[] = [
  { key: 'compare', cases: LOAD_CASES, run: compare },
  lane('memory', MEMORY_HEADING, runMemory, (systems) => ({
    parts: memoryReport(systems),
    goals: goalsOfMemory(systems),
    isWrong: systems.some(({ errors }) => errors > 0),
    record: { systems },
  })),
  lane('idle', IDLE_HEADING, runIdle, (systems) => ({
    parts: idleReport(systems),
    goals: goalsOfIdle(systems),
    isWrong: false,
    record: { systems },
  })),
  lane('density', DENSITY_HEADING, runDensity, (systems) => ({
    parts: densityReport(systems),
    goals: goalsOfDensity(systems),
    isWrong: false,
    record: { systems },
  })),
  lane('failover', FAILOVER_HEADING, runFailover, (result) => ({
    parts: failoverReport(result),
    goals: goalsOfFailover(result),
    isWrong: [...result.rounds, result.soak].some((part) => part && part.wrong.length > 0),
    record: result,
  })),
  lane('pools', POOLS_HEADING, runPools, (rounds) => ({
    parts: poolsReport(rounds),
    goals: goalsOfPools(rounds),
    isWrong: false,
    record: { rounds },
  })),
  lane('strategies', STRATEGIES_HEADING, runStrategies, (rounds) => ({
    parts: strategiesReport(rounds),
    goals: goalsOfStrategies(rounds),
    isWrong: false,
    record: { rounds },
  })),
  lane('cost', COST_HEADING, runCost, (rounds) => ({
    parts: costReport(rounds),
    goals: goalsOfCost(rounds),
    isWrong: rounds.some((round) => round.some(({ wrong }) => wrong > 0)),
    record: { rounds },
  })),
  lane('overload', OVERLOAD_HEADING, runOverload, (rounds) => ({
    parts: overloadReport(rounds),
    goals: goalsOfOverload(rounds),
    isWrong: rounds.some(({ burdens }) => burdens.some(({ wrong }) => wrong > 0)),
    record: { rounds },
  })),
  lane('sockets', SOCKETS_HEADING, runSockets, (result) => ({
    parts: socketsReport(result),
    goals: goalsOfSockets(result),
    isWrong: result.wrong.length > 0,
    record: result,
  })),
  lane('slow', SLOW_HEADING, runSlow, (result) => ({
    parts: slowReport(result),
    goals: goalsOfSlow(result),
    isWrong: result.wrong.length > 0,
    record: result,
  })),
  lane('shapes', SHAPES_HEADING, runShapes, (rounds) => ({
    parts: shapesReport(rounds),
    goals: goalsOfShapes(rounds),
    isWrong: rounds.some(({ whole }) => whole < STREAMS),
    record: { rounds },
  })),
  lane('formats', FORMATS_HEADING, runFormats, (rounds) => ({
    parts: formatsReport(rounds),
    goals: goalsOfFormats(rounds),
    isWrong: rounds.some((round) => round.some(({ wrong }) => wrong > 0)),
    record: { rounds },
  })),
  lane('ledger', LEDGER_HEADING, runLedger, (result) => ({
    parts: ledgerReport(result),
    goals: goalsOfLedger(result),
    isWrong: false,
    record: result,
  })),
  lane('console', CONSOLE_HEADING, runConsole, (result) => ({
    parts: consoleReport(result),
    goals: goalsOfConsole(result),
    isWrong: false,
    record: result,
  })),
];

function lane<Result>(
  name: CaseName,
  heading: string,
  run: (options: Options, signal: AbortSignal, say: (text: string) => void) => Promise<Result>,
  judge: (result: Result) => Omit<LaneReport, 'heading'>,
): Lane {
  return {
    key: name,
    cases: [name],
    run: async (options, signal, say) => ({ heading, ...judge(await run(options, signal, say)) }),
  };
}
