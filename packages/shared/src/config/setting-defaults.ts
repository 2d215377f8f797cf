import { continuations, continuationScopes } from '../domain/request.ts';
import { parseBytes, parseDuration } from './units.ts';

/**
 * Every default of the project, once: name (the field in the config file; `*` is a name that the operator
 * chooses), unit (the kind), default, bounds and one line of help. No other file holds a default.
 */
export const settings = {
  'listen.host': text('127.0.0.1', 'address that an ingress listens on'),
  'listen.port': count(8080, 0, 65_535, 'port that an ingress listens on; 0 takes a free one'),
  shards: count(1, 1, 1024, 'Redis hash slots over which requests are spread'),
  retention: duration('1h', '1s', '30d', 'time for which a finished stream can be read again'),
  drainTimeout: duration(
    '30s',
    '0s',
    '1h',
    'time that a stopping process gives its streams to finish',
  ),
  drainDelay: duration(
    '0s',
    '0s',
    '10m',
    'time for which a stopping ingress still accepts requests while /readyz answers 503; set it to the time that the load balancer needs to notice',
  ),
  'database.retention': duration(
    '90d',
    '1h',
    '3650d',
    'time for which the ledger keeps ended requests',
  ),
  'database.auditRetention': duration(
    '365d',
    '1h',
    '3650d',
    'time for which the audit log keeps actions of operators and changes of the config; refused keys are kept for database.retention',
  ),
  'debugLog.dir': text(
    '.millrace/debug',
    'folder of the control plane for the debug log, beside the config file',
  ),
  'debugLog.maxBytes': size(
    '1GiB',
    '1MiB',
    '1000GiB',
    'size of all files of the debug log; the oldest are removed',
  ),
  'debugLog.retention': duration('24h', '1m', '365d', 'time for which the debug log is kept'),
  'debugLog.sample': text(
    '0',
    'share of all requests, from 0 to 1, whose upstream calls are recorded',
  ),
  'delivery.coalesce': text(
    'auto',
    'time for which a worker gathers the chunks of a stream: auto (only while the worker is late), 0, or up to 60ms',
  ),
  'telemetry.sample': text(
    '1',
    'share of requests, from 0 to 1, that are traced if their client does not decide it (traceparent)',
  ),
  'telemetry.propagate': toggle(
    false,
    'send providers the trace context of their attempt; false: only a traceparent of the client, unchanged',
  ),
  'telemetry.trustClients': toggle(
    true,
    "continue the trace of a client's traceparent, which decides whether its request is traced; false: begin an own trace with a link",
  ),
  'webhooks.allowPrivate': toggle(
    false,
    'let webhooks go to private addresses (loopback, link-local, networks such as 10.0.0.0/8), and over http',
  ),
  board: choice(
    'read-only',
    ['read-only', 'remove'],
    'what /admin/queues may change: nothing (read-only), or jobs and the pause of the queue (remove)',
  ),

  chaos: toggle(
    false,
    'let operators kill workers and break off answers of simulated providers (POST /admin/chaos); workers name their requests to these then',
  ),

  'budgets.onLedgerDown': choice(
    'open',
    ['open', 'closed'],
    'whether keys with a budget are served by what is known (open), or refused (closed), while the ledger has not confirmed their counters for a minute',
  ),

  'keys.*.priority': choice(
    'normal',
    ['high', 'normal', 'low'],
    'class of the requests of this key; high goes before normal, normal before low',
  ),
  'keys.*.debug': toggle(
    false,
    'whether all requests of this key are recorded in the debug log (debugLog)',
  ),
  'keys.*.weight': count(1, 1, 1000, 'share of this key within its class'),

  'providers.*.streamOptions': toggle(
    true,
    'ask for usage in streams; false for a provider that refuses `stream_options`',
  ),
  'providers.*.auth': choice(
    'default',
    ['default', 'bearer', 'api-key', 'x-api-key'],
    'how a key is shown: as the api has it, as Authorization: Bearer, or in this header',
  ),
  'providers.*.aggregator': toggle(
    false,
    'it passes requests on to other providers, so an answer that breaks off continues at it once before other targets',
  ),
  'providers.*.completions': toggle(
    false,
    'it also has the Completions API (vLLM, llama.cpp, OpenRouter, DeepSeek), so requests of POST /v1/completions go there as they are; others get them as chats',
  ),
  'providers.*.simulated': toggle(
    false,
    'it is apps/simulator, so POST /admin/chaos may ask it to break off its answers',
  ),
  'providers.*.pool.connections': count(
    512,
    1,
    65_535,
    'most connections of one worker to this provider',
  ),
  'providers.*.pool.warm': count(
    1,
    0,
    1024,
    'connections that one worker keeps open for new requests',
  ),
  'providers.*.pool.wait': duration(
    '5s',
    '0s',
    '5m',
    'longest wait of a request for a free connection',
  ),
  'providers.*.pool.connectTimeout': duration(
    '5s',
    '10ms',
    '5m',
    'time limit for opening a connection, including TLS',
  ),
  'providers.*.pool.idleTimeout': duration(
    '55s',
    '100ms',
    '1h',
    'idle time after which a connection above `warm` is closed',
  ),
  'providers.*.pool.lifetime': duration(
    '10m',
    '1s',
    '1d',
    'age from which a connection gets no new requests',
  ),
  'providers.*.pool.keepWarm': choice(
    'off',
    ['off', 'models'],
    'whether warm connections get a GET /models before they idle out',
  ),
  'providers.*.pool.http2': toggle(false, 'use HTTP/2 if the provider supports it'),
  'providers.*.tls.minVersion': choice(
    '1.2',
    ['1.2', '1.3'],
    'lowest TLS version of connections to this provider',
  ),
  'providers.*.check.kind': choice(
    'models',
    ['off', 'models', 'prompt'],
    'health check: models (GET /models), prompt (one token), or off',
  ),
  'providers.*.check.interval': duration(
    '30s',
    '100ms',
    '1h',
    'time between two health checks of a healthy target',
  ),
  'providers.*.check.unhealthyInterval': duration(
    '5s',
    '100ms',
    '1h',
    'time between two health checks of an unhealthy target',
  ),
  'providers.*.check.timeout': duration('5s', '10ms', '5m', 'time limit of one health check'),
  'providers.*.breaker.enabled': toggle(true, 'stop sending requests to targets that fail'),
  'providers.*.breaker.window': duration(
    '30s',
    '1s',
    '10m',
    'time span of the calls that the breaker judges',
  ),
  'providers.*.breaker.calls': count(
    20,
    1,
    100_000,
    'least number of calls in the window for which their error rate counts',
  ),
  'providers.*.breaker.errorRate': count(
    10,
    1,
    100,
    'percentage points of failed calls above the usual rate at which the breaker opens',
  ),
  'providers.*.breaker.failures': count(
    5,
    1,
    100_000,
    'failures in a row at which the breaker opens',
  ),
  'providers.*.breaker.probeInterval': duration(
    '1s',
    '10ms',
    '10m',
    'time from the opening to the first probe; later probes wait up to four times as long',
  ),
  'providers.*.breaker.ramp': duration(
    '3s',
    '0s',
    '10m',
    'time from the first successful probe until the target gets all its requests again',
  ),

  'models.*.strategy': choice(
    'failover',
    ['failover', 'round-robin', 'weighted', 'least-loaded', 'latency', 'cheapest'],
    'how the targets of a request are ordered',
  ),
  'models.*.targets.*.weight': count(1, 1, 1000, 'share of this target with strategy: weighted'),
  'models.*.maxWait': duration(
    '30s',
    '0s',
    '1h',
    'longest wait of a request while no target is available (all are broken or at their limits)',
  ),
  'models.*.firstTokenTimeout': duration(
    '10s',
    '1ms',
    '1d',
    'longest wait for the first token of a stream',
  ),
  'models.*.idleTimeout': duration(
    '15s',
    '1ms',
    '1d',
    'longest pause between two tokens of a stream',
  ),
  'models.*.timeout': duration(
    '10m',
    '1ms',
    '1d',
    'time limit of a whole request, including retries and takeovers',
  ),
  'models.*.onSlowFirstToken': choice(
    'hedge',
    ['hedge', 'failover', 'wait'],
    'what a worker does after firstTokenTimeout',
  ),
  'models.*.continuation': choice(
    'auto',
    continuations,
    'how an answer may continue after a fault in the middle',
  ),
  'models.*.continuationScope': choice(
    'any',
    continuationScopes,
    'which targets may continue an answer of which a part was delivered',
  ),
  'models.*.holdToolCalls': toggle(true, 'hold tool calls back until they are complete'),

  'limits.requestBody': size('16MiB', '1KiB', '1GiB', 'largest request body'),
  'limits.requestValues': count(
    200_000,
    100,
    1_000_000_000,
    'most JSON values and member names in a request',
  ),
  'limits.responseBody': size(
    '32MiB',
    '1KiB',
    '1GiB',
    'largest answer that a process holds in memory',
  ),
  // An answer of 128,000 tokens, each a chunk of some 330 bytes, takes 40 MB.
  'limits.streamLog': size(
    '64MiB',
    '1KiB',
    '4GiB',
    'most characters in the log of one stream; a longer answer ends with response_too_large',
  ),
  'limits.socketFrame': size('16MiB', '1KiB', '1GiB', 'largest WebSocket frame from a client'),
  'limits.readerBuffer': size(
    '256KiB',
    '1KiB',
    '1GiB',
    'bytes queued for one connection above which its reader reads from the log',
  ),
  'limits.readerStall': duration(
    '60s',
    '100ms',
    '1h',
    'time after which a reader that takes no byte is disconnected',
  ),
  'limits.socketPing': duration(
    '25s',
    '50ms',
    '1h',
    'time between two pings on a WebSocket; it is closed if a ping has no answer until the next',
  ),
  'limits.socketIdle': duration(
    '1h',
    '100ms',
    '30d',
    'time after which a WebSocket without requests and frames is closed; pings do not count',
  ),
  'limits.socketFrames': count(
    1000,
    1,
    1_000_000,
    'most frames of any kind that an ingress reads from one WebSocket in a second',
  ),
  'limits.connectionsPerKey': count(
    20_000,
    1,
    1_000_000,
    'most connections of one key to one ingress',
  ),
  'limits.connectionsPerAddress': count(
    20_000,
    1,
    1_000_000,
    'most connections from one address (for IPv6 a /64) to one ingress; an untrusted proxy counts as one address',
  ),
  'limits.headTimeout': duration('20s', '100ms', '1h', 'time limit for a request head to arrive'),
  'limits.requestTimeout': duration(
    '2m',
    '100ms',
    '1h',
    'time limit for a whole request to arrive',
  ),
  'limits.requestBodies': size(
    '256MiB',
    '1KiB',
    '64GiB',
    'most bytes of request bodies that one ingress holds before the queue has them',
  ),
  'limits.appendBuffer': size(
    '4MiB',
    '1KiB',
    '1GiB',
    'most bytes of one stream that a worker holds while Redis is away',
  ),
  'limits.workerConcurrency': count(
    2048,
    1,
    100_000,
    'most requests that one worker runs at a time; it takes fewer if its event loop is late',
  ),
  'limits.keepAlive': duration(
    '15s',
    '100ms',
    '1h',
    'time between SSE comments on a silent stream',
  ),
  'limits.ownerGrace': duration(
    '5s',
    '0s',
    '1h',
    'time for which a request outlives its dead ingress',
  ),
  'limits.queueTtl': duration(
    '24h',
    '1s',
    '30d',
    'longest time that a request may wait in the queue',
  ),
  'limits.queueJobs': count(10_000, 1, 10_000_000, 'most requests that wait in the queue'),
  'limits.queueBytes': size(
    '256MiB',
    '1KiB',
    '1024GiB',
    'most bytes in the bodies of waiting requests',
  ),
  'limits.queueWait': duration(
    '60s',
    '10ms',
    '1d',
    'expected wait above which a request with a connected client is rejected',
  ),
  'limits.queueMemory': count(
    90,
    1,
    100,
    "percent of Redis' maxmemory above which new requests are rejected",
  ),
  'limits.loopDelay': duration(
    '250ms',
    '1ms',
    '1m',
    'delay of the event loop above which, for a second, an ingress rejects new requests',
  ),
  'limits.memory': count(
    85,
    1,
    100,
    'percent of its heap limit or container memory above which an ingress rejects new requests',
  ),
  'limits.waiting': count(
    1024,
    1,
    100_000,
    'most requests that wait in one worker while no target is available; if targets are only at their limits, the rest wait in the queue',
  ),
  'limits.socketAuth': duration(
    '5s',
    '100ms',
    '5m',
    "time limit for a page's WebSocket to show its key",
  ),

  adminPort: count(
    0,
    0,
    65_535,
    'port that the control plane listens on; 0 takes a free one, since ingresses find it in Redis',
  ),
  healthPort: count(
    0,
    0,
    65_535,
    'port on which a worker or a control plane answers /healthz and /readyz; 0: it does not',
  ),
  workers: count(2, 1, 256, 'worker processes'),
  ingresses: count(1, 1, 64, 'ingress processes, on the ports PORT, PORT+1, …'),
  data: text('.millrace', "folder for the embedded Redis' files"),
} as const satisfies Record<string, Setting>;

export type Setting =
  | DurationSetting
  | SizeSetting
  | CountSetting
  | ChoiceSetting
  | TextSetting
  | ToggleSetting;

export type DurationSetting = Bounded & { readonly kind: 'duration' };
export type SizeSetting = Bounded & { readonly kind: 'size' };
export type CountSetting = Bounded & { readonly kind: 'count' };
export type ChoiceSetting<T extends string = string> = {
  readonly kind: 'choice';
  readonly default: T;
  readonly options: readonly T[];
  readonly help: string;
};
export type TextSetting = {
  readonly kind: 'text';
  readonly default: string;
  readonly help: string;
};
export type ToggleSetting = {
  readonly kind: 'toggle';
  readonly default: boolean;
  readonly help: string;
};

/** Numbers in milliseconds or bytes, or counts; `written` has them as the config file spells them. */
type Bounded = {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly written: { readonly default: string; readonly min: string; readonly max: string };
  readonly help: string;
};

function duration(value: string, min: string, max: string, help: string): DurationSetting {
  return { kind: 'duration', ...bounded(value, min, max, parseDuration), help };
}

function size(value: string, min: string, max: string, help: string): SizeSetting {
  return { kind: 'size', ...bounded(value, min, max, parseBytes), help };
}

function count(value: number, min: number, max: number, help: string): CountSetting {
  return { kind: 'count', ...bounded(String(value), String(min), String(max), Number), help };
}

function choice<const T extends string>(
  value: T,
  options: readonly T[],
  help: string,
): ChoiceSetting<T> {
  return { kind: 'choice', default: value, options, help };
}

function text(value: string, help: string): TextSetting {
  return { kind: 'text', default: value, help };
}

function toggle(value: boolean, help: string): ToggleSetting {
  return { kind: 'toggle', default: value, help };
}

function bounded(
  value: string,
  min: string,
  max: string,
  parse: (text: string) => number | undefined,
) {
  const number = (written: string) => {
    const parsed = parse(written);
    if (parsed === undefined) throw new Error(`settings: ${written} cannot be read`);
    return parsed;
  };
  return {
    default: number(value),
    min: number(min),
    max: number(max),
    written: { default: value, min, max },
  };
}
