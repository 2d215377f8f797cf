import type { Activation } from '@millrace/shared/queue/port';
import type { Held, StopReason } from './run.ts';

type Stop = (reason: StopReason) => void;

export type Runs = ReturnType<typeof createRuns>;

/** The runs of this worker, so that they can be reached from outside. */
export function createRuns() {
  /** One request may have two runs here for a moment: an old one that ends, and a new one. */
  const byId = new Map<string, Map<Stop, Activation>>();
  const sizes = new Set<() => Held>();

  return {
    register(activation: Activation, stop: Stop, held: () => Held): () => void {
      sizes.add(held);
      const { id } = activation;
      const runs = byId.get(id) ?? new Map<Stop, Activation>();
      byId.set(id, runs.set(stop, activation));
      return () => {
        sizes.delete(held);
        runs.delete(stop);
        if (runs.size === 0) byId.delete(id);
      };
    },
    stop(id: string, reason: StopReason): void {
      for (const stop of byId.get(id)?.keys() ?? []) stop(reason);
    },
    stopAll(reason: StopReason): void {
      for (const id of byId.keys()) this.stop(id, reason);
    },
    /** Of all of them. */
    held(): Held {
      const sum = { attempts: 0, shown: 0 };
      for (const read of sizes) {
        const { attempts, shown } = read();
        sum.attempts += attempts;
        sum.shown += shown;
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
