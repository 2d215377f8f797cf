import { continuations } from '../domain/request.ts';
import { parseBytes, parseDuration } from './units.ts';

/**
 * Every default of the project, once: name (the field in the config file, `*` for a name of the
 * operator's), unit (the kind), default, bounds and one line of help. Nothing else holds a default.
 */
export const settings = {
  'listen.host': text('127.0.0.1', 'address to listen on'),
  'listen.port': count(8080, 0, 65_535, 'port to listen on; 0 takes a free one'),
  shards: count(1, 1, 1024, 'hash slots that requests are spread over'),
  retention: duration('1h', '1s', '30d', 'how long a finished stream can be read again'),
  drainTimeout: duration(
    '30s',
    '0s',
    '1h',
    'what a stopping process may take to finish its streams',
  ),
  drainDelay: duration(
    '0s',
    '0s',
    '10m',
    'how long a stopping ingress still accepts while /readyz says so; the probe interval of the load balancer',
  ),
  'delivery.coalesce': text(
    'auto',
    'how long the chunks of a stream are gathered: auto (only while a worker is late), 0, or up to 60ms',
  ),
  board: choice(
    'read-only',
    ['read-only', 'remove'],
    'what /admin/queues may change: nothing, or remove jobs and pause the queue',
  ),

  'keys.*.priority': choice('normal', ['high', 'normal', 'low'], 'which waiting requests go first'),
  'keys.*.weight': count(1, 1, 1000, 'share of this key within its priority'),

  'providers.*.streamOptions': toggle(
    true,
    'ask for usage in streams; off for a provider that refuses `stream_options`',
  ),
  'providers.*.pool.connections': count(512, 1, 65_535, 'connections per worker at most'),
  'providers.*.pool.warm': count(1, 0, 1024, 'connections per worker that are kept open and ready'),
  'providers.*.pool.wait': duration('5s', '0s', '5m', 'patience for a free connection'),
  'providers.*.pool.connectTimeout': duration(
    '5s',
    '10ms',
    '5m',
    'patience for a new connection, TLS included',
  ),
  'providers.*.pool.idleTimeout': duration(
    '55s',
    '100ms',
    '1h',
    'an idle connection above `warm` is closed after this',
  ),
  'providers.*.pool.lifetime': duration('10m', '1s', '1d', 'no new request on an older connection'),
  'providers.*.pool.keepWarm': choice(
    'off',
    ['off', 'models'],
    'a light request on warm connections before they idle out: GET /models',
  ),
  'providers.*.pool.http2': toggle(false, 'speak HTTP/2 where the provider does'),
  'providers.*.tls.minVersion': choice('1.2', ['1.2', '1.3'], 'lowest TLS version'),
  'providers.*.check.kind': choice(
    'models',
    ['off', 'models', 'prompt'],
    'how health is asked for: GET /models, or a prompt of one token',
  ),
  'providers.*.check.interval': duration('30s', '100ms', '1h', 'between two checks while healthy'),
  'providers.*.check.unhealthyInterval': duration(
    '5s',
    '100ms',
    '1h',
    'between two checks while not',
  ),
  'providers.*.check.timeout': duration('5s', '10ms', '5m', 'patience with one check'),
  'providers.*.breaker.enabled': toggle(true, 'stop asking targets that fail'),
  'providers.*.breaker.window': duration('30s', '1s', '10m', 'recent calls that are judged'),
  'providers.*.breaker.calls': count(
    20,
    1,
    100_000,
    'calls in the window before their rate counts',
  ),
  'providers.*.breaker.errorRate': count(
    10,
    1,
    100,
    'percent of calls that fail, above the usual rate, until it opens',
  ),
  'providers.*.breaker.failures': count(5, 1, 100_000, 'failures in a row until it opens'),
  'providers.*.breaker.probeInterval': duration(
    '1s',
    '10ms',
    '10m',
    'from the opening to the first probe; then longer, up to four times',
  ),
  'providers.*.breaker.ramp': duration(
    '3s',
    '0s',
    '10m',
    'from the first good probe until all requests are let through again',
  ),

  'models.*.strategy': choice(
    'failover',
    ['failover', 'round-robin', 'weighted', 'least-loaded', 'latency'],
    'how a target is chosen',
  ),
  'models.*.targets.*.weight': count(1, 1, 1000, 'share of this target, for strategy: weighted'),
  'models.*.maxWait': duration(
    '30s',
    '0s',
    '1h',
    'patience while no target can be asked: all broken or at their limits',
  ),
  'models.*.firstTokenTimeout': duration('10s', '1ms', '1d', 'patience for the first token'),
  'models.*.idleTimeout': duration('15s', '1ms', '1d', 'patience between two tokens'),
  'models.*.timeout': duration('10m', '1ms', '1d', 'what a whole request may take'),
  'models.*.onSlowFirstToken': choice(
    'hedge',
    ['hedge', 'failover', 'wait'],
    'what happens after firstTokenTimeout',
  ),
  'models.*.continuation': choice(
    'auto',
    continuations,
    'what may be done after a fault in mid-answer',
  ),
  'models.*.holdToolCalls': toggle(true, 'send tool calls when they are complete'),

  'limits.requestBody': size('16MiB', '1KiB', '1GiB', 'largest request body'),
  'limits.requestValues': count(
    200_000,
    100,
    1_000_000_000,
    'JSON values and names of members in a request: what it costs to read, whatever its bytes',
  ),
  'limits.responseBody': size('32MiB', '1KiB', '1GiB', 'largest answer that is held in memory'),
  // An answer of 128,000 tokens, each a chunk of some 330 bytes, takes 40 MB.
  'limits.streamLog': size('64MiB', '1KiB', '4GiB', 'what the log of one stream may hold in Redis'),
  'limits.socketFrame': size('16MiB', '1KiB', '1GiB', 'largest WebSocket frame from a client'),
  'limits.readerBuffer': size(
    '256KiB',
    '1KiB',
    '1GiB',
    'queued to one connection before pushing stops',
  ),
  'limits.readerStall': duration(
    '60s',
    '100ms',
    '1h',
    'a reader that takes no byte this long is ended',
  ),
  'limits.socketPing': duration(
    '25s',
    '50ms',
    '1h',
    'between two pings on a WebSocket; it is dead when one had no answer until the next',
  ),
  'limits.socketIdle': duration(
    '1h',
    '100ms',
    '30d',
    'a WebSocket without requests and frames, pings apart, is closed after this',
  ),
  'limits.socketFrames': count(
    1000,
    1,
    1_000_000,
    'frames of any kind a second that are read of one WebSocket',
  ),
  'limits.connectionsPerKey': count(20_000, 1, 1_000_000, 'connections of one key to one ingress'),
  'limits.connectionsPerAddress': count(
    20_000,
    1,
    1_000_000,
    'connections from one address (of IPv6 a /64) to one ingress; a proxy that is not trusted is one address',
  ),
  'limits.headTimeout': duration('20s', '100ms', '1h', 'what a request head may take to arrive'),
  'limits.requestTimeout': duration('2m', '100ms', '1h', 'what a whole request may take to arrive'),
  'limits.requestBodies': size(
    '256MiB',
    '1KiB',
    '64GiB',
    'request bodies in the memory of one ingress, until the queue has them',
  ),
  'limits.appendBuffer': size('4MiB', '1KiB', '1GiB', 'held per stream while Redis is away'),
  'limits.workerConcurrency': count(
    2048,
    1,
    100_000,
    'requests that one worker runs at a time at most; below that it takes as many as its event loop carries',
  ),
  'limits.keepAlive': duration('15s', '100ms', '1h', 'interval of SSE comments on a silent stream'),
  'limits.ownerGrace': duration('5s', '0s', '1h', 'a request outlives its dead ingress this long'),
  'limits.queueTtl': duration('24h', '1s', '30d', 'how long a request may wait at most'),
  'limits.queueJobs': count(10_000, 1, 10_000_000, 'requests that may wait in the queue'),
  'limits.queueBytes': size(
    '256MiB',
    '1KiB',
    '1024GiB',
    'what the bodies of waiting requests may hold',
  ),
  'limits.queueWait': duration(
    '60s',
    '10ms',
    '1d',
    'expected wait up to which a request with a client behind it is taken',
  ),
  'limits.queueMemory': count(
    90,
    1,
    100,
    "percent of Redis' maxmemory above which no new request is taken",
  ),
  'limits.loopDelay': duration(
    '250ms',
    '1ms',
    '1m',
    'how late the event loop of an ingress may be, for a second, before it takes no new work',
  ),
  'limits.memory': count(
    85,
    1,
    100,
    'percent of the memory that an ingress may have (heap, container) above which it takes no new work',
  ),
  'limits.waiting': count(
    1024,
    1,
    100_000,
    'requests per worker that may wait while no target can be asked; where only room is missing, far fewer do',
  ),
  'limits.socketAuth': duration(
    '5s',
    '100ms',
    '5m',
    "what a page's WebSocket may take to show its key",
  ),

  workers: count(2, 1, 256, 'worker processes'),
  ingresses: count(1, 1, 64, 'ingress processes, on PORT, PORT+1, …'),
  data: text('.millrace', "folder of the embedded Redis' files"),
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

/** Numbers in milliseconds or bytes (or just counted), and the words that people write for them. */
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
