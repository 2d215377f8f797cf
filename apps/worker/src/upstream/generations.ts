import type { ModelConfig, ProviderConfig } from '@millrace/shared/config';
import type { Target } from '@millrace/shared/domain/request';
import type { Pool } from './pool/pool.ts';
import type { KeyRing } from './selection/key-ring.ts';

/**
 * The part of one config that runs need: a run keeps the generation that it began with, with its pools and keys, whatever is
 * reloaded meanwhile.
 */
export type Generation = {
  readonly models: Readonly<Record<string, ModelConfig>>;
  readonly providers: Readonly<Record<string, ProviderConfig>>;
  /** By provider. */
  readonly pools: ReadonlyMap<string, Pool>;
  readonly rings: ReadonlyMap<string, KeyRing>;
};

/** The generation of one run. `end` is called once, when the run is over. */
export type GenerationLease = { readonly generation: Generation; end(): void };

export type Generations = {
  readonly current: Generation;
  /** Whether the present config has the model and all providers of the job: another process may have read a newer one. */
  knows(job: { model: string; targets: readonly Target[] }): boolean;
  /** A run of this job begins. */
  begin(job: { model: string; targets: readonly Target[] }): GenerationLease;
  /** Runs that begin from now on use the next one. */
  advance(next: Generation): void;
};

export type GenerationsOptions = {
  first: Generation;
  /** Milliseconds for which a request may have waited in the queue when its run begins. */
  keptMs: number;
  /** No run needs the pool any more. */
  onUnused(pool: Pool): void;
  now(): number;
};

/** Earlier generations without runs; a config that is reloaded more often than that has requests of older ones fail. */
const mostKept = 8;

type Entry = { readonly generation: Generation; runs: number; retiredAt: number };

export function createGenerations(options: GenerationsOptions): Generations {
  const { first, keptMs, onUnused, now } = options;
  /** Newest first. */
  let entries: Entry[] = [{ generation: first, runs: 0, retiredAt: Infinity }];

  const newest = (): Entry => entries[0] as Entry;

  function forget(): void {
    const isKept = (entry: Entry, place: number): boolean =>
      entry.runs > 0 || (place <= mostKept && entry.retiredAt + keptMs > now());
    const kept = entries.filter(isKept);
    if (kept.length === entries.length) return;
    const poolsOf = (some: readonly Entry[]) =>
      new Set(some.flatMap(({ generation }) => [...generation.pools.values()]));
    const unused = poolsOf(entries).difference(poolsOf(kept));
    entries = kept;
    for (const pool of unused) onUnused(pool);
  }

  /**
   * The newest one that can serve the job. A request that waited in the queue while its model or its providers were removed
   * is served as it would have been before.
   */
  function entryFor({ model, targets }: { model: string; targets: readonly Target[] }): Entry {
    const serves = ({ generation: { models, providers } }: Entry): boolean =>
      model in models && targets.some(({ provider }) => Object.hasOwn(providers, provider));
    return entries.find(serves) ?? newest();
  }

  return {
    get current() {
      return newest().generation;
    },
    knows({ model, targets }) {
      const { models, providers } = newest().generation;
      return model in models && targets.every(({ provider }) => Object.hasOwn(providers, provider));
    },
    begin(job) {
      const entry = entryFor(job);
      entry.runs += 1;
      return {
        generation: entry.generation,
        end() {
          entry.runs -= 1;
          if (entry !== newest() && entry.runs === 0) forget();
        },
      };
    },
    advance(next) {
      newest().retiredAt = now();
      entries.unshift({ generation: next, runs: 0, retiredAt: Infinity });
      forget();
    },
  };
}
