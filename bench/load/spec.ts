import type { Summary } from './samples.ts';

/**
 * How requests come: as fast as answers do, from a fixed number of users; once each, ramped in; or at a
 * fixed rate whatever comes back, which shows the queue that the first one hides.
 */
export type Arrival =
  | { kind: 'open'; perSecond: number; ms: number }
  | { kind: 'closed'; concurrency: number; maxRequests: number; maxMs: number }
  | { kind: 'ramp'; streams: number; rampMs: number };

export type Body = 'short' | 'agents';

export interface LoadSpec {
  /** Where the system listens, without a path. */
  origin: string;
  path: string;
  model: string;
  /** One short question, or the bodies that agents send. */
  body: Body;
  headers: Record<string, string>;
  /** The tokens that every answer has to consist of. */
  tokens: string[];
  arrival: Arrival;
  /** A gap between two tokens above this many milliseconds is a stall; 0 keeps no account of gaps. */
  stallMs: number;
}

/** All times in milliseconds. */
export interface LoadResult {
  elapsedMs: number;
  /** Answers that were whole and correct. */
  requests: number;
  /** Answers that were not, for any reason. */
  errors: number;
  /** The first few, in words. */
  faults: string[];
  framesLost: number;
  tokens: number;
  /** HTTP chunks that brought a token: as many as tokens where the system writes each by itself. */
  pieces: number;
  stalls: number;
  firstToken: Summary;
  total: Summary;
  gaps: Summary;
}

export type GeneratorMessage =
  | { type: 'ready' }
  | { type: 'result'; result: LoadResult }
  | { type: 'failed'; message: string };
