import type { Ingress } from '../http/ingress.ts';
import type { Io } from '../io.ts';
import { plural } from '../output/format.ts';
import type { FleetProcess } from './status.ts';

/** `drain` and `resume`. */
export async function sendOrder(
  ingress: Ingress,
  { out }: Io,
  name: string,
  order: 'drain' | 'resume',
): Promise<void> {
  const process = await ingress.post<FleetProcess>(
    `/admin/fleet/${encodeURIComponent(name)}/${order}`,
  );
  out(`${orderLine(process, order)}\n`);
}

export function orderLine(
  { name, stage, counts }: FleetProcess,
  order: 'drain' | 'resume',
): string {
  const wanted = order === 'drain' ? 'draining' : 'serving';
  if (stage !== wanted) return `${name} has the order, and has not carried it out yet: see status`;
  if (order === 'resume') return `${name} takes new work`;
  const left = counts.runs ?? counts.streams ?? 0;
  const what = counts.runs === undefined ? 'stream' : 'run';
  return `${name} takes no new work; ${plural(left, what)} under way`;
}
