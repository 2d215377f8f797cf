import type { AttemptMode } from './entry.ts';
import type { Priority, Target } from './request.ts';

/*
 * Inquiries: what the control plane asks all workers, or all ingresses, at the moment an operator looks. Each process answers
 * from its memory, and nothing is kept. Times are milliseconds since the epoch.
 */

/** The questions, and who answers them with what. */
export type Inquiry =
  /** Workers: their runs, `RunsAnswer`. */
  | { kind: 'runs' }
  /** Workers: the one that runs the request ends its attempt, which another target continues; `MoveAnswer`. */
  | { kind: 'move'; id: string; target?: Target | undefined }
  /** Workers: their pools of connections to providers, `PoolsAnswer`. */
  | { kind: 'pools' }
  /** Ingresses: their readers of the request, `ReadersAnswer`. */
  | { kind: 'readers'; id: string };

/** A run under way. */
export type RunView = {
  id: string;
  model: string;
  /** The id of the API key; undefined without one. */
  key?: string | undefined;
  api: string;
  stream: boolean;
  createdAt: number;
  /** When the first attempt began, or this run if none has. */
  startedAt: number;
  /** The target of the newest open attempt; undefined while the run waits for one. */
  target?: Target | undefined;
  mode?: AttemptMode | undefined;
  /** Why the targets for which it waits take no request now; undefined: it does not wait. */
  waits?: string | undefined;
  class?: Priority | undefined;
  deadlineAt?: number | undefined;
  /** Attempts so far. */
  attempts: number;
  rescues: number;
  /** When the first text of the answer was delivered, and the newest. */
  firstTextAt?: number | undefined;
  lastTextAt?: number | undefined;
  /** Estimated tokens that readers were sent. */
  outputTokens: number;
};

/** A worker has the request and holds it back, until a target takes it. */
export const isQueued = ({ waits, attempts }: Pick<RunView, 'waits' | 'attempts'>): boolean =>
  waits !== undefined && attempts === 0;

export type RunsAnswer = {
  /** The newest runs, at most `maxRunsInAnswer`. */
  runs: readonly RunView[];
  total: number;
  /** Those of them that have made no attempt, and wait for a target (`isQueued`); absent from an older version. */
  waiting?: number | undefined;
  /** Runs whose answer another attempt has continued. */
  rescued: number;
  /** All runs by the id of their API key, at most `maxKeysInAnswer`. */
  byKey: Readonly<Record<string, number>>;
  /** How many runs the worker takes now, and how many of them it has: those that wait for a target take no slot. */
  slots: number;
  busy: number;
  /** Models that the worker does not take now, and why. */
  skipped: Readonly<Record<string, 'limited' | 'broken'>>;
};

export const maxRunsInAnswer = 500;
export const maxKeysInAnswer = 500;

/**
 * `not_here`: the worker does not run the request. `no_attempt`: it waits for a target. `unknown_target`: the target is none of
 * its model's. `no_target`: no other target can continue the answer now.
 */
export type MoveAnswer =
  | { kind: 'not_here' | 'no_attempt' | 'unknown_target' | 'no_target' }
  | { kind: 'moved'; from: Target };

/** One reader of a request. */
export type ReaderView = {
  transport: 'sse' | 'json' | 'websocket';
  /** It understands `reset` and `moved`. */
  native: boolean;
  since: number;
  /** The newest line that its connection was given, as an entry id. */
  entry: string;
  /** Bytes that wait for it to read; those of all requests of a WebSocket. */
  buffered: number;
};

/** At most `maxReadersInAnswer` of them. */
export type ReadersAnswer = { readers: readonly ReaderView[]; total: number };

export const maxReadersInAnswer = 500;

/** One connection to a provider. */
export type ConnectionView = {
  state: 'active' | 'idle' | 'connecting';
  /** That it has answered. */
  requests: number;
  /** Milliseconds since it was opened, or since the worker began to open it. */
  ageMs: number;
  /** Milliseconds for which it has carried no request; undefined unless it is idle. */
  idleMs?: number | undefined;
};

/** One API key for a provider, by its place in the config. */
export type ProviderKeyView = {
  index: number;
  /** The provider rejected the key, and no request takes it before this time. */
  asideUntil?: number | undefined;
  models: readonly {
    model: string;
    /** The provider's rate limit is reached until then. */
    closedUntil?: number | undefined;
    /** What the provider said of its limits, by their units. */
    quota?: unknown;
  }[];
};

export type PoolView = {
  provider: string;
  /** Connections that the pool may open. */
  limit: number;
  size: number;
  active: number;
  idle: number;
  connecting: number;
  /** Requests that wait for a connection. */
  waiting: number;
  waitTimeouts: number;
  /** The share of requests that reused a connection. */
  reuseRate: number;
  /** At most `maxConnectionsOfPool`, and `maxConnectionsInAnswer` in all pools. */
  connections: readonly ConnectionView[];
  keys: readonly ProviderKeyView[];
};

export type PoolsAnswer = { pools: readonly PoolView[] };

export const maxConnectionsOfPool = 512;
export const maxConnectionsInAnswer = 5000;
