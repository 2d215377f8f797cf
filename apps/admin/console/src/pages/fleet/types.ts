/** `GET /admin/fleet`. */
export type FleetAnswer = {
  processes: Process[];
  queue: { waiting: number; active: number; oldest_ms: number | null; paused_shards: number[] };
  /** Null: this fleet keeps no ledger. */
  ledger: { waiting: number; dropped: number; problem: string | null } | null;
  redis: { shards: number; used_bytes: number | null; max_bytes: number | null };
};

export type Process = {
  name: string;
  role: 'ingress' | 'worker' | 'admin';
  stage: 'serving' | 'draining' | 'stopping';
  listening: boolean;
  version: string;
  host: string;
  pid: number;
  started_at: string;
  uptime_s: number;
  counts: Record<string, number>;
};

/** What the page needs of `GET /admin/config`. */
export type ConfigAnswer = {
  agreed: boolean;
  processes: {
    name: string;
    hash: string;
    needs_restart: string[];
    problems: string[];
  }[];
};
