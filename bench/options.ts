import { parseArgs } from 'node:util';
import { ON_REQUEST, PEERS, SYSTEMS, type SystemName } from './systems/system.ts';

/** The cases that put every system under the same load. */
export const LOAD_CASES = ['c1', 'load', 'streams', 'ladder', 'agents'] as const;
export const CASES = [
  ...LOAD_CASES,
  'memory',
  'idle',
  'density',
  'failover',
  'pools',
  'strategies',
  'cost',
  'overload',
  'sockets',
  'slow',
  'shapes',
  'formats',
  'ledger',
  'console',
] as const;
/** The cases of the page if none is named. */
const PAGE_CASES: readonly CaseName[] = [...LOAD_CASES, 'memory', 'idle', 'density'];
export type LoadCaseName = (typeof LOAD_CASES)[number];
export type CaseName = (typeof CASES)[number];

export interface Options {
  cases: CaseName[];
  rounds: number;
  /** In the order they take turns within a round. */
  systems: SystemName[];
  quick: boolean;
  full: boolean;
  frontier: boolean;
  /** For the streams case: numbers of concurrent streams, and of chunks. Absent: the usual ones. */
  streams?: number[];
  chunks?: number[];
  /** Minutes; 0 is none. */
  soak: number;
  /** The file of the JSON; absent: bench/results/, named after date and cases. */
  out?: string;
  page?: string;
  charts?: string;
  from?: string;
}

export const USAGE = `npm run bench -- [case…] [--rounds N] [--peers] [--quick] [--full] [--frontier] [--streams N,M] [--chunks N,M]
                       [--soak MINUTES] [--out FILE.json] [--page FILE.md] [--charts DIR] [--from FILE.json]

  c1        one request at a time: time to first token, added to the upstream's own
  load      64 and 200 requests at a time: requests a second, time of a whole request
  streams   150 and 300 paced streams of 64 and of 400 chunks: frames lost, stalls, gaps, CPU per chunk
  ladder    a fixed rate of requests at 20, 40, 60, 80 % of what the system can do: p50, p99, CPU
  agents    request bodies as coding agents send them: 100 KB, 570 KB and 5.9 MB
  memory    each system alone: memory when fresh, after 10,000 requests, 10 s later; what Redis keeps
  idle      each system alone with nothing to do: CPU, Redis commands, append-only file a second
  density   each system alone: the most paced streams with a gap p99 under 100 ms, and streams per core
  failover  Millrace alone: the provider cut in mid-answer, a worker killed, a worker hung
  pools     the worker's connections over TLS: pooled and not, the first request to a warm backup
  strategies  two workers: shares under latency, first tokens under least-loaded
  cost      two workers: what each strategy costs, as billed, with faults and a prompt cache
  overload  more than the fleet can carry: goodput, refusals; a key beside one that floods the queue
  sockets   12,000 idle WebSockets: memory of each; 2,000 of them with a stream: tokens lost
  slow      200 readers that stop reading beside 200 that go on: gaps, memory, resuming
  shapes    request bodies of 12 MiB in every shape of JSON beside 10 streams: how late the event loops are
  formats   60 paced streams for each pair of wire formats: CPU per chunk with and without a translation
  ledger    1,000,000 requests in a SQLite ledger: stored a second, time of an operator's questions
  console   a real Chromium at a ledger of 100,000 requests and 500 running streams: first view, frames, CPU, size

  --rounds N     each system is measured once a round, in turn; figures are medians (default 3)
  --peers        also measure @portkey-ai/gateway, which is installed on demand, and nginx where there is one
  --systems A,B  measure only these: direct, nginx, bare, millrace, unledgered (Millrace without a ledger), traced
                 and sampled (with telemetry of all, or of a tenth of its requests), portkey
  --quick        one short round, to see that everything runs
  --full         streams: 1,000 as well
  --streams N,M  streams: so many at a time
  --chunks N,M   streams: only those of 64, or of 400, chunks
  --frontier     load: more concurrencies, and the most requests a second with p99 <= 10, 50, 100 ms
  --soak MINUTES failover: streams on a busy machine whose processes stop for moments; false takeovers
  --page FILE    writes the page with the tables and charts of this run, e.g. docs/performance.md; where
                 no case is named: c1 load streams ladder agents memory idle density
  --charts DIR   writes the charts of this run as SVG (default with --page: a folder beside the page)
  --from FILE    measures nothing: writes page and charts from the JSON of an earlier run
  --out FILE     where the JSON goes (default bench/results/DATE-CASES.json)
`;

/** Throws with a message for the user if the arguments are invalid. */
export function parseOptions(argv: string[]): Options | 'help' {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      peers: { type: 'boolean', default: false },
      systems: { type: 'string' },
      quick: { type: 'boolean', default: false },
      full: { type: 'boolean', default: false },
      streams: { type: 'string' },
      chunks: { type: 'string' },
      frontier: { type: 'boolean', default: false },
      soak: { type: 'string', default: '0' },
      out: { type: 'string' },
      page: { type: 'string' },
      charts: { type: 'string' },
      from: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const unknown = positionals.find((name) => !CASES.some((known) => known === name));
  if (unknown !== undefined) throw new Error(`no case named ${unknown}: ${CASES.join(', ')}`);
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) {
    throw new Error(`--rounds ${values.rounds}: expected a whole number from 1 to 100`);
  }
  const soak = Number(values.soak);
  if (!(soak >= 0 && soak <= 1_440)) {
    throw new Error(`--soak ${values.soak}: expected minutes, up to 1440`);
  }
  const { quick, full, frontier, out, page, charts, from } = values;
  if (from !== undefined && page === undefined && charts === undefined) {
    throw new Error('--from FILE: expected --page or --charts with it');
  }
  const streams = numbersFrom('--streams', values.streams, (count) => count >= 1 && count <= 5_000);
  const chunks = numbersFrom('--chunks', values.chunks, (count) => count === 64 || count === 400);
  const systems = systemsFrom(values.systems?.split(','), values.peers);
  const all = page === undefined ? CASES : PAGE_CASES;
  const cases = CASES.filter((name) =>
    positionals.length === 0 ? all.includes(name) : positionals.includes(name),
  );
  const files = { out, page, charts, from };
  return { cases, rounds, systems, quick, full, frontier, streams, chunks, soak, ...files };
}

function numbersFrom(
  option: string,
  text: string | undefined,
  isAllowed: (value: number) => boolean,
): number[] | undefined {
  const numbers = text?.split(',').map(Number);
  if (numbers?.every((value) => Number.isInteger(value) && isAllowed(value)) ?? true) {
    return numbers;
  }
  throw new Error(`${option} ${text}: not a list of numbers that it can be`);
}

/** `direct` is always first, because the others are compared with it. */
function systemsFrom(named: string[] | undefined, peers: boolean): SystemName[] {
  const unknown = named?.find((name) => !SYSTEMS.some((known) => known === name));
  if (unknown !== undefined) throw new Error(`no system named ${unknown}: ${SYSTEMS.join(', ')}`);
  if (named) return SYSTEMS.filter((name) => name === 'direct' || named.includes(name));
  return SYSTEMS.filter((name) => !ON_REQUEST.includes(name) && (peers || !PEERS.includes(name)));
}
