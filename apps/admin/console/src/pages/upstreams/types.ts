/** `GET /admin/upstreams`. */
export type UpstreamsAnswer = {
  targets: Target[];
  /** Absent from control planes before 0.3. */
  pools?: Pool[];
};

export type Target = {
  /** `provider/model`. */
  target: string;
  provider: string;
  model: string;
  aliases: string[];
  /** Null: no worker has asked it yet. */
  state: string | null;
  opened_by: 'breaker' | 'operator' | null;
  reason: string | null;
  /** Seconds since the epoch. */
  since: number | null;
  next_probe_at: number | null;
  last_fault: unknown;
};

export type Connection = {
  state: 'active' | 'idle' | 'connecting';
  requests: number;
  age_ms: number;
  idle_ms: number | null;
};

/** The connections of one worker to one provider. */
export type Pool = {
  provider: string;
  worker: string;
  limit: number;
  size: number;
  active: number;
  idle: number;
  connecting: number;
  /** Requests that wait for a connection. */
  waiting: number;
  wait_timeouts: number;
  reuse_rate: number | null;
  connections: Connection[];
  truncated?: boolean;
  keys: ProviderKey[];
};

export type ProviderKey = {
  label: string;
  state: 'ready' | 'limited' | 'set_aside';
  parked_until_at: string | null;
  limits: KeyLimit[];
};

type Unit = { limit: number | null; remaining: number | null; resets_at: string | null } | null;

export type KeyLimit = {
  model: string;
  closed_until_at: string | null;
  requests: Unit;
  tokens: Unit;
};

/** What the page needs of `GET /admin/config`: the limits of targets. */
export type ConfiguredTargets = {
  config: {
    models: Record<
      string,
      {
        targets: {
          provider: string;
          model: string;
          limits?: { requestsPerMinute?: number; tokensPerMinute?: number; concurrent?: number };
        }[];
      }
    >;
  };
};
