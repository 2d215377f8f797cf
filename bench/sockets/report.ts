import type { Goal } from '../goal.ts';
import { number, type Part, table } from '../table.ts';
import type { SocketsResult } from './run.ts';

export const SOCKETS_HEADING =
  'sockets: WebSockets to one ingress, all from this process; then a stream of 5 tokens a second on some.';

export const perSocketKb = ({
  memory,
  sockets,
}: Pick<SocketsResult, 'memory' | 'sockets'>): number =>
  (memory.idle - memory.before) / sockets / 1024;

export function socketsReport(result: SocketsResult): Part[] {
  const { sockets, memory, openMs, streams, wrong } = result;
  const mb = (bytes: number): string => number(bytes / 1024 / 1024, 1);
  const { p50, p99, max } = streams.gaps;
  return [
    table(
      ['idle', 'sockets', 'opened in s', 'ingress before MB', 'with them MB', 'KB each'],
      [
        [
          '',
          number(sockets),
          number(openMs / 1000, 1),
          mb(memory.before),
          mb(memory.idle),
          number(perSocketKb(result), 1),
        ],
      ],
    ),
    table(
      ['streams', 'whole', 'of', 'gap p50 ms', 'p99', 'max', 'ingress MB'],
      [
        [
          '',
          number(streams.whole),
          number(streams.count),
          ...[p50, p99, max].map((value) => number(value, 1)),
          mb(memory.after),
        ],
      ],
    ),
    ...wrong,
  ];
}

export function goalsOfSockets(result: SocketsResult): Goal[] {
  const { streams, wrong } = result;
  const kb = perSocketKb(result);
  return [
    {
      text: 'sockets: under 45 KB each',
      verdict: kb < 45 ? 'met' : 'missed',
      evidence: `${number(kb, 1)} KB`,
    },
    {
      text: 'sockets: every stream whole',
      verdict: wrong.length === 0 ? 'met' : 'missed',
      evidence: `${streams.whole} of ${streams.count}`,
    },
  ];
}
