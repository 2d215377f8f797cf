/** The two answers that are asked for: all at once, and at the pace of a real model. */
export type Answer = 'burst' | 'paced';

/** Each answer's model as the upstream names it. */
export const MODELS: Record<Answer, string> = {
  burst: 'healthy:tokens=20,pace=0',
  paced: 'healthy:tokens=64,pace=20',
};

export const PACE_MS = 20;

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
  /** Versions of what is measured, where they are not this checkout's. */
  versions?: Record<string, string>;
  stop(): Promise<void>;
}
