/** The answers that are asked for: all at once, and a short and a long one at the pace of a real model. */
export type Answer = 'burst' | 'paced' | 'long';

export const TOKENS: Record<Answer, number> = { burst: 20, paced: 64, long: 400 };
export const PACE_MS = 20;

/** Each answer's model as the upstream names it. */
export const MODELS: Record<Answer, string> = {
  burst: `healthy:tokens=${TOKENS.burst},pace=0`,
  paced: `healthy:tokens=${TOKENS.paced},pace=${PACE_MS}`,
  long: `healthy:tokens=${TOKENS.long},pace=${PACE_MS}`,
};

export const SYSTEMS = ['direct', 'bare', 'millrace', 'portkey'] as const;
export type SystemName = (typeof SYSTEMS)[number];

export interface System {
  name: SystemName;
  /** Where it listens; the path is the same everywhere. */
  origin: string;
  /** The root of its processes; absent for `direct`, which has none. */
  pid?: number;
  /** What a request to it needs besides its body. */
  headers: Record<string, string>;
  models: Record<Answer, string>;
  /** The Redis of its own that it keeps its state in. */
  redis?: { url: string };
  /** Versions of what is measured, where they are not this checkout's. */
  versions?: Record<string, string>;
  stop(): Promise<void>;
}
