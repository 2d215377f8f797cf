/** The requested answers: one at once, and three lengths at the pace of a real model. */
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

export const SYSTEMS = [
  'direct',
  'nginx',
  'bare',
  'millrace',
  'unledgered',
  'traced',
  'sampled',
  'portkey',
] as const;
/** Measured only if `--systems` names them: Millrace without a ledger, and with telemetry of all or a tenth of its requests. */
export const ON_REQUEST: readonly SystemName[] = ['unledgered', 'traced', 'sampled'];
/** Measured with `--peers`: they are not part of this checkout. */
export const PEERS: readonly SystemName[] = ['nginx', 'portkey'];
/** Not for comparison, but to show what the machine and any proxy can do. */
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
  /** The path of chat completions, if it is not the usual one. */
  path?: string;
  /** The root of its processes; absent for `direct`, which has none. */
  pid?: number;
  /** Headers that a request to it needs. */
  headers: Record<string, string>;
  models: Record<Answer, string>;
  /** Its own Redis, which has its state. */
  redis?: { url: string };
  /** Versions of the measured software, if they are not this checkout's. */
  versions?: Record<string, string>;
  stop(): Promise<unknown>;
}
