import type { Summary } from './samples.ts';

/**
 * How requests arrive: as fast as answers do, from a fixed number of users; once each, ramped up; or at a
 * fixed rate whatever the answers, which shows the queueing that the first one hides.
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
  /** Complete and correct answers. */
  requests: number;
  /** Failed answers, for any reason. */
  errors: number;
  /** Descriptions of the first few faults. */
  faults: string[];
  framesLost: number;
  tokens: number;
  /** HTTP chunks with a token: as many as tokens if the system writes each separately. */
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
