import type { Capabilities } from '../domain/capabilities.ts';
import type { ProviderApi } from '../domain/provider-api.ts';
import type { WebhookEvent } from '../domain/webhook.ts';
import type { Budget } from '../domain/budget.ts';
import type { Continuation, ContinuationScope, Prefill } from '../domain/request.ts';

/**
 * The configuration of a process: parsed once, complete, deeply frozen, passed down. Times are in
 * milliseconds (`…Ms`), sizes in bytes (`…Bytes`). Maps have no prototype, so that a model called
 * `constructor` does not exist unless the file has it.
 */
export type Config = {
  readonly listen: {
    readonly host: string;
    readonly port: number;
    /** Absolute paths of PEM files, not read yet. */
    readonly tls?: { readonly cert: string; readonly key: string };
    /** Addresses and CIDR ranges of the proxies whose `x-forwarded-for` is trusted. */
    readonly trustedProxies: readonly string[];
    /** Origins of web pages that may use this server, or `*` for all. */
    readonly cors: { readonly origins: readonly string[] };
  };
  /** Without a url: the embedded Redis, which only the supervisor can start. */
  readonly redis: { readonly url?: string };
  readonly shards: number;
  readonly retentionMs: number;
  readonly drainTimeoutMs: number;
  /** A stopping ingress still accepts requests for this long, while `/readyz` answers 503. */
  readonly drainDelayMs: number;
  /** Port of the control plane; 0: a free one. Ingresses find it in Redis. */
  readonly adminPort: number;
  /** Port of a worker or a control plane for probes; 0: it has none. */
  readonly healthPort: number;
  /** Absent: admin pages answer on loopback only. */
  readonly admin?: { readonly user: string; readonly passwordSha256: string };
  /**
   * The ledger's database: `sqlite:PATH` or `postgres://…`. Absent: requests are not recorded. Every process of a
   * fleet has to know it, because workers and ingresses write the entries that the control plane stores.
   */
  readonly database?: {
    readonly url: string;
    readonly retentionMs: number;
    /** Of audit entries; those of refused keys are kept for `retentionMs`. */
    readonly auditRetentionMs: number;
  };
  /** Absent: there is no debug log, whatever keys say. `dir`: of the control plane, an absolute path. `sample`: 0 to 1. */
  readonly debugLog?: {
    readonly dir: string;
    readonly maxBytes: number;
    readonly retentionMs: number;
    readonly sample: number;
  };
  /** How long a worker gathers the chunks of one stream, in milliseconds; `auto`: only while it is late. */
  readonly delivery: { readonly coalesce: 'auto' | number };
  /** What Bull Board may change: nothing, or remove jobs and pause the queue. */
  readonly board: 'read-only' | 'remove';
  /** Operators may kill workers and break off answers of simulated providers. */
  readonly chaos: boolean;
  /** Whether keys with a budget are served while the ledger is away. */
  readonly budgets: { readonly onLedgerDown: 'open' | 'closed' };
  /**
   * Webhooks of jobs and alerts; absent: none are sent. `secret` signs them. `url`: gets the ends of all detached jobs, and alerts,
   * of the kinds in `events`. `allowPrivate`: receivers may have private addresses, and http.
   */
  readonly webhooks?: {
    readonly secret: string;
    readonly allowPrivate: boolean;
    readonly url?: string | undefined;
    readonly events: readonly WebhookEvent[];
  };
  /**
   * OpenTelemetry. `otlp`: the collector's base URL; absent: that of the environment. `sample`: the share of requests, 0 to 1,
   * that are traced without a decision of their client. `propagate`: providers get the trace context of their attempt.
   * `trustClients`: a client's `traceparent` is continued, and decides whether its request is traced.
   */
  readonly telemetry?: {
    readonly otlp?: string | undefined;
    readonly sample: number;
    readonly propagate: boolean;
    readonly trustClients: boolean;
  };
  /** Absent: no key is required, and only loopback clients may connect. Never empty. */
  readonly keys?: readonly KeyConfig[];
  readonly providers: Readonly<Record<string, ProviderConfig>>;
  /** By alias (domain/model-names.ts). */
  readonly models: Readonly<Record<string, ModelConfig>>;
  readonly limits: ProcessLimits;
};

export type KeyConfig = {
  readonly id: string;
  /** Hex, lower case: any of them is valid. The secrets themselves are not kept. */
  readonly secretsSha256: readonly string[];
} & KeySettings;

/** What a key may do, in the config file and over the admin API. */
export type KeySettings = {
  /** Names of models; `openai/*` stands for all that begin so, `*` for all. */
  readonly models: readonly string[];
  /** Addresses and CIDR ranges; empty: from anywhere. */
  readonly ips: readonly string[];
  readonly priority: 'high' | 'normal' | 'low';
  readonly weight: number;
  /** Whether its requests are recorded in the debug log. */
  readonly debug?: boolean | undefined;
  readonly limits?: {
    readonly requestsPerMinute?: number;
    readonly tokensPerMinute?: number;
    readonly concurrent?: number;
  };
  /** Absent: the key may use as much as its limits allow. */
  readonly budget?: Budget;
};

export type ProviderConfig = {
  readonly api: ProviderApi;
  /** http or https, without a trailing slash. */
  readonly baseUrl: string;
  /** Empty: requests carry no key. Several: each request uses the one with the largest remaining quota. */
  readonly apiKeys: readonly string[];
  /** How a key is shown; absent or `default`: as the api has it. */
  readonly auth?: 'default' | 'bearer' | 'api-key' | 'x-api-key';
  /** Added to each request. */
  readonly query?: Readonly<Record<string, string>> | undefined;
  /** Added to each request, in the place of the api's own of that name. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** It passes requests on to other providers. */
  readonly aggregator?: boolean;
  /** With `api: openai`: it also has the Completions API, at `/completions`. */
  readonly completions?: boolean;
  /** It supports `stream_options`, which request the usage. */
  readonly streamOptions: boolean;
  /** It is a simulated provider, which breaks off answers when an operator says so. */
  readonly simulated: boolean;
  /** An http URL, with credentials if it has any. */
  readonly proxy?: string;
  readonly pool: PoolConfig;
  readonly tls: TlsConfig;
  readonly check: CheckConfig;
  readonly breaker: BreakerConfig;
};

/** Connections of one worker to one provider. */
export type PoolConfig = {
  readonly connections: number;
  readonly warm: number;
  readonly waitMs: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly lifetimeMs: number;
  readonly keepWarm: 'off' | 'models';
  readonly http2: boolean;
};

export type TlsConfig = {
  readonly minVersion: '1.2' | '1.3';
  /** Absolute paths of PEM files, not read yet. `ca` replaces the system's authorities. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** SHA-256 of public keys (SPKI), in base64: one of them has to be the server's own or an issuer's. */
  readonly pins: readonly string[];
};

/** How a provider's health is checked without a client's request. */
export type CheckConfig = {
  readonly kind: 'off' | 'models' | 'prompt';
  readonly intervalMs: number;
  readonly unhealthyIntervalMs: number;
  readonly timeoutMs: number;
};

/** When a failing target gets no more requests, and how it recovers. */
export type BreakerConfig = {
  readonly enabled: boolean;
  readonly windowMs: number;
  readonly calls: number;
  /** Percentage points. */
  readonly errorRate: number;
  readonly failures: number;
  readonly probeIntervalMs: number;
  readonly rampMs: number;
};

export type ModelConfig = {
  readonly targets: readonly TargetConfig[];
  readonly strategy:
    | 'failover'
    | 'round-robin'
    | 'weighted'
    | 'least-loaded'
    | 'latency'
    | 'cheapest';
  readonly firstTokenTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly timeoutMs: number;
  readonly onSlowFirstToken: 'hedge' | 'failover' | 'wait';
  readonly continuation: Continuation;
  /** Absent: any. */
  readonly continuationScope?: ContinuationScope;
  readonly holdToolCalls: boolean;
  /**
   * A field of the request's body, such as `user` or `metadata.session`, or `prefix`, the beginning of the conversation: requests
   * with the same value go to the same target.
   */
  readonly sticky?: string;
  readonly maxWaitMs: number;
};

export type TargetConfig = {
  readonly provider: string;
  /** `*` stands for the rest of the name that a client asked for, if the alias has one. */
  readonly model: string;
  /** Absent: by provider and model. */
  readonly prefill?: Prefill;
  /** They take the place of what Millrace knows of the model. */
  readonly capabilities?: Omit<Capabilities, 'prefill'>;
  readonly weight: number;
  /** USD per million tokens. Absent: the known price of the provider's model, if there is one. */
  readonly price?: {
    readonly input: number;
    readonly cachedInput?: number;
    readonly output: number;
  };
  /** The provider's limits, for the whole fleet. */
  readonly limits?: {
    readonly requestsPerMinute?: number;
    readonly tokensPerMinute?: number;
  };
};

export type ProcessLimits = {
  readonly requestBodyBytes: number;
  readonly requestValues: number;
  readonly responseBodyBytes: number;
  /** Bytes of the lines in the log of one stream. */
  readonly streamLogBytes: number;
  readonly socketFrameBytes: number;
  readonly readerBufferBytes: number;
  readonly readerStallMs: number;
  readonly socketPingMs: number;
  readonly socketIdleMs: number;
  readonly socketFrames: number;
  readonly connectionsPerKey: number;
  readonly connectionsPerAddress: number;
  readonly headTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly requestBodiesBytes: number;
  readonly appendBufferBytes: number;
  readonly workerConcurrency: number;
  readonly keepAliveMs: number;
  readonly ownerGraceMs: number;
  readonly queueTtlMs: number;
  readonly queueJobs: number;
  readonly queueBytes: number;
  readonly queueWaitMs: number;
  /** Percentage points. */
  readonly queueMemory: number;
  readonly loopDelayMs: number;
  /** Percentage points. */
  readonly memory: number;
  readonly waiting: number;
  readonly socketAuthMs: number;
};

export type Role = 'start' | 'ingress' | 'worker' | 'admin';

/** Options of the processes that `npm start` starts, not of what they serve. */
export type StartOptions = {
  /** False: the database is `none`, and a start keeps no ledger in its own folder either. */
  readonly keepsLedger: boolean;
  readonly workers: number;
  readonly ingresses: number;
  /** Absolute. */
  readonly dataDir: string;
  /** Built-in providers that are used and not running yet: `start` starts them. */
  readonly simulated: readonly string[];
  /** Absolute; absent only for `start`, which then creates its own. */
  readonly configFile?: string;
};

/** The configuration is invalid: lists every problem found, one line each, no secrets. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

/** Not a failure: `--help` was given, and this is the text to show. */
export class HelpRequested extends Error {
  override readonly name = 'HelpRequested';
}
