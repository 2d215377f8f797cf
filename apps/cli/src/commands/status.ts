import { isJsonObject } from '@millrace/shared/domain/json';
import { readJson, Refused, Unreachable } from '../http/ingress.ts';
import type { Ingress } from '../http/ingress.ts';
import { CommandFailed } from '../io.ts';
import type { Io } from '../io.ts';
import { duration, plural } from '../output/format.ts';
import { oneLine, table } from '../output/table.ts';

export type FleetProcess = {
  name: string;
  role: 'ingress' | 'worker' | 'admin';
  stage: 'serving' | 'draining' | 'stopping';
  listening: boolean;
  version: string;
  host: string;
  pid: number;
  started_at: string;
  uptime_s: number;
  counts: { streams?: number; connections?: number; runs?: number; waiting?: number };
};

export type FleetView = {
  processes: FleetProcess[];
  queue: { waiting: number; active: number; oldest_ms: number | null; paused_shards: number[] };
  /** Null: this fleet keeps no ledger. */
  ledger: { waiting: number; dropped: number; problem: string | null } | null;
};

/** As far as another server may answer. */
type Readiness = { status?: unknown; reasons?: unknown };

/** A target that is not closed, as one worker sees it. */
type TargetView = {
  provider: string;
  model: string;
  state: string;
  /** Seconds since the epoch. */
  since: number;
  last_fault?: { code?: string; message?: string };
};
type Upstreams = {
  /** Of the whole fleet; an operator may have opened one. */
  targets?: { target: string; held: { by: string } | null }[];
  workers: { name: string; upstreams?: { health?: { targets?: TargetView[] } } }[];
};

export type Status = {
  /** One for each ingress of `--url`. */
  ingresses: { url: string; status: string; reasons: string[] }[];
  /** A text: why it is not known. */
  fleet: FleetView | string;
  targets: UnhealthyTarget[] | string;
  config: ConfigView | string;
};

/** What processes say of their config files. */
export type ConfigView = {
  agreed: boolean;
  processes: { name: string; problems: string[]; needs_restart: string[] }[];
};

export type UnhealthyTarget = {
  target: string;
  state: string;
  since: number;
  workers: number;
  fault: string | undefined;
};

/** `status`: ends with exit code 1 unless every ingress is ready and a worker takes new work. */
export async function status(
  ingress: Ingress,
  { out }: Io,
  { json }: { json?: true },
): Promise<void> {
  const [ingresses, fleet, targets, config] = await Promise.all([
    Promise.all(ingress.urls.map((url, place) => readiness(ingress, url, place))),
    orReason(ingress.getJson<FleetView>('/admin/fleet')),
    orReason(ingress.getJson<Upstreams>('/admin/upstreams').then(unhealthy)),
    orReason(ingress.getJson<ConfigView>('/admin/config')),
  ]);
  const found: Status = { ingresses, fleet, targets, config };
  out(json ? `${JSON.stringify(found, null, 2)}\n` : statusText(found, Date.now()));
  const failure = failureOf(found);
  if (failure !== undefined) throw new CommandFailed(failure);
}

/** Why a client cannot be served as usual; undefined if it can. Empty: the text of the status says it. */
export function failureOf({ ingresses, fleet }: Status): string | undefined {
  if (typeof fleet === 'string') return 'the processes of the fleet are not known';
  const isTaking = ({ role, stage, listening }: FleetProcess) =>
    role === 'worker' && stage === 'serving' && listening;
  // The readiness of an ingress does not depend on workers that are drained.
  if (!fleet.processes.some(isTaking))
    return 'no worker takes new work: requests wait in the queue';
  return ingresses.some(({ status: state }) => state !== 'ready') ? '' : undefined;
}

async function readiness(
  { open }: Ingress,
  url: string,
  from: number,
): Promise<Status['ingresses'][number]> {
  try {
    const response = await open('/readyz', { from });
    // The next ingress answered in its place.
    if (response.ingress !== url) return { url, status: 'away', reasons: ['it does not answer'] };
    return { url, ...readReadiness(await readJson(response)) };
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    return { url, status: 'away', reasons: [error.message] };
  }
}

/** Another server may answer with any JSON. */
export function readReadiness(answer: unknown): { status: string; reasons: string[] } {
  const { status, reasons } = (isJsonObject(answer) ? answer : {}) as Readiness;
  if (typeof status !== 'string' || !Array.isArray(reasons)) {
    return { status: 'away', reasons: ['its answer is not that of an ingress: is it one?'] };
  }
  return { status, reasons: reasons.map(String) };
}

async function orReason<T>(work: Promise<T>): Promise<T | string> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Refused) return error.message;
    if (error instanceof Unreachable) return 'no ingress answers';
    throw error;
  }
}

/** The targets that a worker does not ask as usual, worst state first. */
export function unhealthy({ workers, targets = [] }: Upstreams): UnhealthyTarget[] {
  const holders = new Map(targets.map(({ target, held }) => [target, held?.by]));
  const found = new Map<string, UnhealthyTarget>();
  for (const { upstreams } of workers) {
    for (const one of upstreams?.health?.targets ?? []) {
      if (one.state === 'closed') continue;
      const target = `${one.provider}/${one.model}`;
      const known = found.get(target);
      const isWorse = !known || states.indexOf(one.state) < states.indexOf(known.state);
      const { code, message } = one.last_fault ?? {};
      const holder = holders.get(target);
      const fault = holder === undefined ? (message ?? code) : `opened by ${holder}`;
      found.set(target, {
        target,
        state: isWorse ? one.state : known.state,
        since: Math.min(one.since, known?.since ?? Infinity),
        workers: (known?.workers ?? 0) + 1,
        fault: fault ?? known?.fault,
      });
    }
  }
  return [...found.values()].sort((a, b) => states.indexOf(a.state) - states.indexOf(b.state));
}

/** Worst first. */
const states = ['open', 'half-open', 'recovering'];

export function statusText({ ingresses, fleet, targets, config }: Status, now: number): string {
  const ready = ingresses.map(
    ({ url, status, reasons }) => `${[url, status, reasons.join('; ')].join('  ').trimEnd()}\n`,
  );
  return `${ready.join('')}\n${fleetText(fleet)}${configText(config)}${targetsText(targets, now)}`;
}

function fleetText(fleet: Status['fleet']): string {
  if (typeof fleet === 'string') return `${label('fleet')}unknown: ${fleet}\n`;
  const { processes, queue, ledger } = fleet;
  const oldest = queue.oldest_ms === null ? '' : `, the oldest for ${duration(queue.oldest_ms)}`;
  const paused =
    queue.paused_shards.length === 0 ? '' : `; paused: shards ${queue.paused_shards.join(', ')}`;
  const waiting = `${plural(queue.waiting, 'request')} waiting${oldest}, ${queue.active} running${paused}`;
  return [
    table(processes, [
      { title: 'process', cell: ({ name }) => name },
      { title: 'state', cell: stateOf },
      { title: 'version', cell: ({ version }) => version },
      { title: 'host', cell: ({ host }) => host },
      { title: 'pid', align: 'right', cell: ({ pid }) => pid },
      { title: 'up', align: 'right', cell: ({ uptime_s }) => duration(uptime_s * 1000) },
      { title: 'under way', cell: loadOf },
    ]),
    '\n',
    `${label('queue')}${waiting}\n`,
    `${label('ledger')}${ledgerText(ledger)}\n`,
  ].join('');
}

const stateOf = ({ stage, listening }: FleetProcess): string =>
  listening || stage === 'stopping' ? stage : 'lost';

function loadOf({ counts: { streams, connections, runs, waiting } }: FleetProcess): string {
  const parts = [
    streams !== undefined && plural(streams, 'stream'),
    connections !== undefined && plural(connections, 'connection'),
    runs !== undefined && plural(runs, 'run'),
    waiting !== undefined && waiting > 0 && `${waiting} waiting for a target`,
  ];
  return parts.filter((part) => part !== false).join(', ');
}

function ledgerText(ledger: FleetView['ledger']): string {
  if (!ledger) return 'none: the config names no database';
  const lost = ledger.dropped === 0 ? '' : `; ${ledger.dropped} were not recorded`;
  const problem = ledger.problem === null ? '' : `; the database: ${oneLine(ledger.problem)}`;
  return `${plural(ledger.waiting, 'entry', 'entries')} waiting for the database${lost}${problem}`;
}

function configText(config: Status['config']): string {
  if (typeof config === 'string') return `${label('config')}unknown: ${config}\n`;
  const { agreed, processes } = config;
  const refusing = processes.filter(({ problems }) => problems.length > 0);
  const [refusal] = refusing;
  if (refusal) {
    const who = plural(refusing.length, 'process refuses its', 'processes refuse their');
    return `${label('config')}${who} file: ${oneLine(refusal.problems[0] ?? '')}\n`;
  }
  const fields = [...new Set(processes.flatMap(({ needs_restart }) => needs_restart))];
  if (fields.length > 0) return `${label('config')}needs a restart: ${fields.join(', ')}\n`;
  return agreed ? '' : `${label('config')}processes have different ones\n`;
}

function targetsText(targets: Status['targets'], now: number): string {
  if (typeof targets === 'string') return `${label('targets')}unknown: ${targets}\n`;
  if (targets.length === 0) return `${label('targets')}all healthy\n`;
  const rows = table(targets, [
    { title: 'target', cell: ({ target }) => target },
    { title: 'state', cell: ({ state }) => state },
    {
      title: 'for',
      align: 'right',
      cell: ({ since }) => duration(Math.max(0, now - since * 1000)),
    },
    { title: 'workers', align: 'right', cell: ({ workers }) => workers },
    { title: 'last fault', cell: ({ fault }) => fault },
  ]);
  return `${label('targets')}${plural(targets.length, 'is', 'are')} not healthy\n${rows}`;
}

const label = (name: string): string => oneLine(name).padEnd(9);
