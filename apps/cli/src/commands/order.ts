import type { Ingress } from '../http/ingress.ts';
import { CommandFailed } from '../io.ts';
import type { Io } from '../io.ts';
import { plural } from '../output/format.ts';
import { oneLine } from '../output/table.ts';
import type { FleetProcess } from './status.ts';

/** `drain` and `resume`: ends with exit code 1 if the process has not carried the order out in time. */
export async function sendOrder(
  ingress: Ingress,
  { out }: Io,
  name: string,
  order: 'drain' | 'resume',
): Promise<void> {
  const process = await ingress.post<FleetProcess>(
    `/admin/fleet/${encodeURIComponent(name)}/${order}`,
  );
  const line = orderLine(process, order);
  if (process.stage !== stageAfter[order]) throw new CommandFailed(oneLine(line));
  out(`${line}\n`);
}

const stageAfter = { drain: 'draining', resume: 'serving' } as const;

export function orderLine(
  { name, role, stage, counts }: FleetProcess,
  order: 'drain' | 'resume',
): string {
  if (stage !== stageAfter[order])
    return `${name} has the order, and has not carried it out yet: see status`;
  if (order === 'resume') return `${name} takes new work`;
  const left = counts.runs ?? counts.streams ?? 0;
  const what = counts.runs === undefined ? 'stream' : 'run';
  const underWay = `${plural(left, what)} under way`;
  return role === 'ingress'
    ? `${name} is draining, and refuses new requests once drainDelay of the config is over; ${underWay}`
    : `${name} takes no new work; ${underWay}`;
}
