import type { Activation } from '@millrace/shared/store/queue/port';
import type { Held, StopReason } from './port.ts';

type Stop = (reason: StopReason) => void;

export type Runs = ReturnType<typeof createRuns>;

/** The most ended requests that are remembered: each is needed for one round trip only. */
const mostEnded = 1000;

/** The registry of this worker's runs, for access from outside. */
export function createRuns() {
  /** A request may briefly have two runs here: an old one that ends, and a new one. */
  const byId = new Map<string, Map<Stop, Activation>>();
  const sizes = new Set<() => Held>();
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

  return {
    register(activation: Activation, stop: Stop, held: () => Held): () => void {
      sizes.add(held);
      const { id } = activation;
      const runs = byId.get(id) ?? new Map<Stop, Activation>();
      byId.set(id, runs.set(stop, activation));
      if (ended.delete(id)) stop('finished');
      return () => {
        sizes.delete(held);
        runs.delete(stop);
        if (runs.size === 0) byId.delete(id);
      };
    },
    stop(id: string, reason: StopReason): void {
      const runs = byId.get(id);
      if (reason === 'finished') noteEnd(id);
      for (const stop of runs?.keys() ?? []) stop(reason);
    },
    stopAll(reason: StopReason): void {
      for (const id of byId.keys()) this.stop(id, reason);
    },
    /** The sum over all runs. */
    held(): Held {
      const sum = { attempts: 0, delivered: 0 };
      for (const read of sizes) {
        const { attempts, delivered } = read();
        sum.attempts += attempts;
        sum.delivered += delivered;
      }
      return sum;
    },
    ids: (): string[] => [...byId.keys()],
    *attached(): Iterable<string> {
      for (const [id, runs] of byId) {
        if ([...runs.values()].some(({ data }) => data.attached)) yield id;
      }
    },
  };
}
