import type { Activation } from '@millrace/shared/store/queue/port';
import { isQueued, maxKeysInAnswer, maxRunsInAnswer } from '@millrace/shared/domain/inquiry';
import type { RunsAnswer, RunView } from '@millrace/shared/domain/inquiry';
import type { Held, RunControl, StopReason } from './port.ts';

export type Runs = ReturnType<typeof createRuns>;

/** The most ended requests that are remembered: each is needed for one round trip only. */
const mostEnded = 1000;

/** The registry of this worker's runs, for access from outside. */
export function createRuns() {
  /** A request may briefly have two runs here: an old one that ends, and a new one. */
  const byId = new Map<string, Map<RunControl, Activation>>();
  /**
   * Requests that ended from outside. The command that takes a job also seals its log, so the message that
   * the request has ended may arrive before that command's reply, and also while an older run of the request
   * is still here.
   */
  const ended = new Set<string>();

  function noteEnd(id: string): void {
    ended.add(id);
    if (ended.size <= mostEnded) return;
    for (const oldest of ended) {
      ended.delete(oldest);
      return;
    }
  }

  function* all(): Generator<RunControl> {
    for (const runs of byId.values()) yield* runs.keys();
  }

  return {
    register(activation: Activation, run: RunControl): () => void {
      const { id } = activation;
      const runs = byId.get(id) ?? new Map<RunControl, Activation>();
      byId.set(id, runs.set(run, activation));
      if (ended.delete(id)) run.stop('finished');
      return () => {
        runs.delete(run);
        if (runs.size === 0) byId.delete(id);
      };
    },
    stop(id: string, reason: StopReason): void {
      const runs = byId.get(id);
      if (reason === 'finished') noteEnd(id);
      for (const run of runs?.keys() ?? []) run.stop(reason);
    },
    stopAll(reason: StopReason): void {
      for (const id of byId.keys()) this.stop(id, reason);
    },
    /** The newest run of a request. */
    find: (id: string): RunControl | undefined => [...(byId.get(id)?.keys() ?? [])].at(-1),
    /** The sum over all runs. */
    held(): Held {
      const sum = { attempts: 0, delivered: 0 };
      for (const run of all()) {
        const { attempts, delivered } = run.held();
        sum.attempts += attempts;
        sum.delivered += delivered;
      }
      return sum;
    },
    /** What operators see of the runs, in the order in which they began. */
    look(): Pick<RunsAnswer, 'runs' | 'total' | 'waiting' | 'rescued' | 'byKey'> {
      const views = [...all()].map((run) => run.look());
      return {
        runs: views.slice(-maxRunsInAnswer),
        total: views.length,
        waiting: views.filter(isQueued).length,
        rescued: views.filter(({ rescues }) => rescues > 0).length,
        byKey: countKeys(views),
      };
    },
    ids: (): string[] => [...byId.keys()],
    *attached(): Iterable<string> {
      for (const [id, runs] of byId) {
        if ([...runs.values()].some(({ data }) => data.attached)) yield id;
      }
    },
  };
}

function countKeys(views: readonly RunView[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const { key } of views) {
    if (key === undefined || (!counts.has(key) && counts.size >= maxKeysInAnswer)) continue;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return Object.fromEntries(counts);
}
