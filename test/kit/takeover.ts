import type { RoleProcess } from './fleet.ts';
import { exactTime } from '../../apps/simulator/src/clock.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask } from './client.ts';
import type { Stream } from './client.ts';
import { chunks } from './judge.ts';

/* Measurements and helpers for tests with dying workers. */

/**
 * An answer that is slow enough to be interrupted in its middle, and aliases for it: `pair`, whose backup
 * continues it natively and quickly, and `single`, whose only target continues it.
 */
export function slowAnswer(tokens: number, paceMs = 50) {
  const pace = `tokens=${tokens},pace=${paceMs}`;
  const backup = { model: `prefill:tokens=${tokens},pace=${paceMs / 5}`, prefill: true };
  return {
    text: expectedText({ tokens }),
    models: {
      pair: {
        targets: [
          { provider: 'primary', model: `healthy:${pace}` },
          { provider: 'backup', ...backup },
        ],
      },
      single: { targets: [{ provider: 'primary', model: `prefill:${pace}`, prefill: true }] },
    },
  };
}

/** Opens plain readers, and resolves when each has received at least `seen` chunks. */
export async function openStreams(
  url: string,
  model: string,
  count: number,
  seen = 10,
): Promise<Stream[]> {
  const streams = Array.from({ length: count }, () => ask(url, model, { keepText: false }));
  await Promise.all(streams.map((stream) => stream.until(chunks(seen))));
  return streams;
}

/** Sends SIGKILL; returns the time, in milliseconds since 1970 with fractions. */
export async function killed(role: RoleProcess): Promise<number> {
  const at = exactTime();
  await role.stop('SIGKILL');
  return at;
}

/** Records when each stream first gets something that another run wrote. */
export function clockNextRun(stream: Stream) {
  let at: number | undefined;
  let seen = stream.events.length;
  // The predicate is evaluated for every packet.
  stream
    .until(({ events }) => {
      for (; at === undefined && seen < events.length; seen += 1) {
        const run = Number(events[seen]?.id?.split('-')[0] ?? 0);
        if (run > 1) at = exactTime();
      }
      return false;
    })
    .catch(() => {});
  return () => at ?? Infinity;
}

/** Resolves when each stream has received something that its run `run`, or a later one, wrote. */
export async function followed(streams: readonly Stream[], run = 2): Promise<void> {
  const runOf = ({ id = '0' }: { id?: string }) => Number(id.split('-')[0]);
  await Promise.all(
    streams.map((stream) =>
      stream.until(
        ({ events }) => runOf(events.findLast(({ id }) => id !== undefined) ?? {}) >= run,
      ),
    ),
  );
}

export function quantiles(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]?.toFixed(1) ?? '-';
  return `p50 ${at(0.5)} p95 ${at(0.95)} max ${at(1)} ms`;
}

/** The reapers' counters of one ingress. */
export async function counters(url: string) {
  const page = await (await fetch(`${url}/metrics`)).text();
  const sum = (name: string, label = '') =>
    page
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) && line.includes(label))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  return {
    deaths: {
      gone: sum('millrace_worker_deaths_total', 'cause="gone"'),
      hung: sum('millrace_worker_deaths_total', 'cause="hung"'),
    },
    takeovers: sum('millrace_takeovers_total'),
    falseAlarms: sum('millrace_false_alarms_total'),
  };
}
