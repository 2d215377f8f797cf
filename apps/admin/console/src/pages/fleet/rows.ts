import { unknown } from '../../ui/format.ts';
import type { ConfigAnswer, FleetAnswer, Process } from './types.ts';

/* What the fleet's table says of each process, and what its order to drain would mean. */

export type Row = Process & {
  /** Of its config; undefined: not known. */
  hash: string | undefined;
  /** Its config is not that of most processes. */
  differs: boolean;
  problems: readonly string[];
  needsRestart: readonly string[];
  /** Its version is not that of most processes. */
  isOtherVersion: boolean;
};

export function rowsOf({ processes }: FleetAnswer, config: ConfigAnswer | undefined): Row[] {
  const configs = new Map(config?.processes.map((one) => [one.name, one]));
  const usualHash = mostOf([...configs.values()].map(({ hash }) => hash));
  const usualVersion = mostOf(processes.map(({ version }) => version));
  return processes.map((process) => {
    const own = configs.get(process.name);
    return {
      ...process,
      hash: own?.hash,
      differs: own !== undefined && own.hash !== usualHash,
      problems: own?.problems ?? [],
      needsRestart: own?.needs_restart ?? [],
      isOtherVersion: process.version !== usualVersion,
    };
  });
}

/** The value that most have; of several, the first. */
function mostOf(values: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  let most: string | undefined;
  for (const [value, count] of counts) {
    if (most === undefined || count > (counts.get(most) ?? 0)) most = value;
  }
  return most;
}

/** What the operator confirms before a process is drained. */
export function drainQuestion(row: Process, all: readonly Process[]): string {
  const others = all.filter(
    (one) => one.name !== row.name && one.role === row.role && isServing(one),
  );
  if (row.role === 'worker') {
    const runs = row.counts['runs'] ?? 0;
    const rest = `${row.name} takes no new requests; ${runs === 1 ? 'its run goes' : `its ${runs} runs go`} on to the end.`;
    return others.length > 0
      ? rest
      : `${rest} No other worker serves: all new requests wait in the queue until one is resumed.`;
  }
  const rest = `${row.name} refuses new requests; the streams that it has go on, and this console works.`;
  return others.length > 0
    ? rest
    : `${rest} No other ingress serves: clients get 503 until one is resumed.`;
}

export const isServing = ({ stage, listening }: Process): boolean =>
  stage === 'serving' && listening;

/** `2 runs, 1 waiting`; the zeros of a process that idles are left out. Of one that is gone nothing is known. */
export function loadOf({ counts, role, listening }: Process): string {
  if (!listening) return unknown;
  const busy = Object.entries(counts).filter(([, value]) => value > 0);
  if (busy.length > 0) {
    // `1 run`, but `1 waiting`.
    const named = busy.map(
      ([name, value]) => `${value} ${value === 1 ? name.replace(/s$/, '') : name}`,
    );
    return named.join(', ');
  }
  return role === 'admin' ? '' : 'idle';
}
