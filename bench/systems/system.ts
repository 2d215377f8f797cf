/** The answers that are asked for: all at once, and of three lengths at the pace of a real model. */
export type Answer = 'burst' | 'paced' | 'middling' | 'long';

export const TOKENS: Record<Answer, number> = { burst: 20, paced: 64, middling: 200, long: 400 };
export const PACE_MS = 20;

/** Each answer's model as the upstream names it. */
export const MODELS: Record<Answer, string> = {
  burst: `healthy:tokens=${TOKENS.burst},pace=0`,
  paced: `healthy:tokens=${TOKENS.paced},pace=${PACE_MS}`,
  middling: `healthy:tokens=${TOKENS.middling},pace=${PACE_MS}`,
  long: `healthy:tokens=${TOKENS.long},pace=${PACE_MS}`,
};

export const SYSTEMS = ['direct', 'nginx', 'bare', 'millrace', 'portkey'] as const;
/** Measured with `--peers`: they are not part of this checkout. */
export const PEERS: readonly SystemName[] = ['nginx', 'portkey'];
/** Not to be compared with, but to see what the machine and any proxy can do. */
export const FLOORS: readonly SystemName[] = ['direct', 'nginx'];

export type SystemName = (typeof SYSTEMS)[number];

export interface StartOptions {
  /** Limits on concurrency are raised, so that the machine is the limit and not the config. */
  manyStreams?: boolean;
}

export const CHAT_PATH = '/v1/chat/completions';

export interface System {
  name: SystemName;
  origin: string;
  /** Of chat completions, where it is not the usual one. */
  path?: string;
  /** The root of its processes; absent for `direct`, which has none. */
  pid?: number;
  /** What a request to it needs besides its body. */
  headers: Record<string, string>;
  models: Record<Answer, string>;
  /** The Redis of its own that it keeps its state in. */
  redis?: { url: string };
  /** Versions of what is measured, where they are not this checkout's. */
  versions?: Record<string, string>;
  stop(): Promise<unknown>;
}
