import { createStrategy } from './strategies.ts';
import type { Choice } from './port.ts';

/** The same numbers between 0 and 1 for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export type Simulation = {
  strategy: Parameters<typeof createStrategy>[0];
  seed: number;
  requests: number;
  workers?: number;
  /** Milliseconds between two reports of a worker to the others; each reports at moments of its own. */
  reportMs?: number;
  /** Of what the three can do together, how much is asked of them. */
  load: number;
  /** Milliseconds that a target takes from the nth request on; undefined: as always. */
  speed?: (model: string, n: number) => number | undefined;
};

const targets: Choice[] = ['fast', 'middle', 'slow'].map((model) => ({
  provider: 'p',
  model,
  weight: 1,
}));
const usualMs: Record<string, number> = { fast: 50, middle: 100, slow: 400 };
/** Requests that a target works on at a time; others wait there. */
const slots = 16;
/** How much one new first token says. */
const decay = 0.3;

type Request = { at: number; worker: number; model: string; start: number; end: number };

/**
 * Workers that send requests to three targets of 50, 100 and 400 ms, on a virtual clock. A target
 * works on sixteen at a time, first come first served; requests come at random.
 */
export function simulate(options: Simulation) {
  const { seed, requests, workers = 1, reportMs = 0, load, speed } = options;
  const random = seeded(seed);
  const strategies = Array.from({ length: workers }, () =>
    createStrategy(options.strategy, random),
  );
  const perMs = targets.reduce((sum, { model }) => sum + slots / (usualMs[model] ?? 1), 0) * load;
  const freeAt = new Map(targets.map(({ model }) => [model, Array<number>(slots).fill(0)]));
  const averages = new Map<string, number>();
  let open: Request[] = [];
  const all: Request[] = [];
  let now = 0;
  for (let n = 0; n < requests; n++) {
    now += -Math.log(1 - random()) / perMs;
    const worker = Math.floor(random() * workers);
    for (const { model, at, end } of open.filter((one) => one.end <= now)) {
      const known = averages.get(model);
      averages.set(model, known === undefined ? end - at : known + decay * (end - at - known));
    }
    open = open.filter((one) => one.end > now);
    // Those that ended lately still count in the eyes of the others.
    const lately = all.slice(-500);
    const seen = (of: number) => {
      if (of === worker || reportMs === 0) return now;
      const phase = (of * reportMs) / workers;
      return Math.floor((now - phase) / reportMs) * reportMs + phase;
    };
    const view = {
      firstTokenMs: ({ model }: Choice) => averages.get(model),
      inFlight: ({ model }: Choice) =>
        lately.filter((one) => {
          const at = seen(one.worker);
          return one.model === model && one.at <= at && one.end > at;
        }).length,
    };
    const model =
      strategies[worker]?.(targets, view, { costAt: () => null, sticky: undefined })[0]?.model ??
      '';
    const places = freeAt.get(model) ?? [];
    const place = places.indexOf(Math.min(...places));
    const start = Math.max(now, places[place] ?? 0);
    const end = start + (speed?.(model, n) ?? usualMs[model] ?? 0);
    places[place] = end;
    const request = { at: now, worker, model, start, end };
    open.push(request);
    all.push(request);
  }
  const times = all.map(({ at, end }) => end - at).sort((a, b) => a - b);
  return {
    /** Milliseconds. */
    p99: times[Math.floor(times.length * 0.99)] ?? 0,
    /** The share of the requests from one to another that a target got. */
    served(model: string, from = 0, to = requests): number {
      return all.slice(from, to).filter((one) => one.model === model).length / (to - from);
    },
  };
}
