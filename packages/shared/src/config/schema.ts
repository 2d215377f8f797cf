import { modalities, services } from '../domain/capabilities.ts';
import { webhookEvents } from '../domain/webhook.ts';
import { providerApis } from '../domain/provider-api.ts';
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Budget } from '../domain/budget.ts';
import {
  choiceField,
  countField,
  durationField,
  field,
  limitField,
  readAddressRange,
  readBaseUrl,
  readChoice,
  readCoalesce,
  readDatabaseUrl,
  readMoney,
  readHeaderValue,
  readOrigin,
  readPin,
  readPrice,
  readProxyRange,
  readProxyUrl,
  readRedisUrl,
  readSha256,
  readShare,
  readText,
  readToggle,
  readTokens,
  readWebhookSecret,
  readWebhookUrl,
  readPrefill,
  sizeField,
  toggleField,
  type FieldProblem,
} from './fields.ts';
import { settings } from './setting-defaults.ts';
import type {
  BreakerConfig,
  CheckConfig,
  KeyConfig,
  ModelConfig,
  PoolConfig,
  ProcessLimits,
  ProviderConfig,
} from './types.ts';

/**
 * The config file's schema, field by field. Rules that concern several fields are in rules.ts, so that one
 * wrong field does not hide problems in others.
 */

/** A mapping with these fields and no others; the message carries the known names, for hints. */
export function section<S extends z.ZodRawShape>(shape: S) {
  const known = Object.keys(shape).join(' ');
  return z.strictObject(shape, {
    error: ({ code }) => (code === 'unrecognized_keys' ? known : undefined),
  });
}

const name = (what: string) => field(readText(what));
const secret = (what: string) => field(readText(what), true);

const listen = section({
  host: name('an address or host name').default(settings['listen.host'].default),
  port: countField('listen.port'),
  tls: section({
    cert: name('the path of a PEM file'),
    key: name('the path of a PEM file'),
  }).optional(),
  trustedProxies: z.array(field(readProxyRange)).default([]),
  cors: section({ origins: z.array(field(readOrigin)).default([]) }).prefault({}),
});

const amounts = {
  day: field(readMoney).optional(),
  month: field(readMoney).optional(),
  tokensPerDay: limitField,
  tokensPerMonth: limitField,
};

/** What a key may use. */
const budget = section({
  ...amounts,
  currency: field(readChoice(['USD'])).default('USD'),
}).transform((given, context): Budget => {
  const names = Object.keys(amounts) as (keyof typeof amounts)[];
  if (names.every((name) => given[name] === undefined)) {
    const expected = `at least one of ${names.join(', ')}`;
    const params: FieldProblem = { expected, confidential: true };
    context.issues.push({ code: 'custom', message: expected, input: given, params });
  }
  return given;
});

/** What a key may do: a change over the admin API has some of these fields (key-settings.ts). */
export const keySettings = {
  models: z.array(name('a model alias, the beginning of one and "*", or "*"')).default(['*']),
  ips: z.array(field(readAddressRange)).default([]),
  priority: choiceField(settings['keys.*.priority']),
  weight: countField('keys.*.weight'),
  debug: toggleField('keys.*.debug'),
  limits: section({
    requestsPerMinute: limitField,
    tokensPerMinute: limitField,
    concurrent: limitField,
  }).optional(),
  budget: budget.optional(),
};

const key = section({
  id: name('the name of this key'),
  secret: secret('the key itself, not empty').optional(),
  secrets: z.array(secret('one of the secrets of this key, not empty')).optional(),
  sha256: field(readSha256, true).optional(),
  ...keySettings,
}).transform(({ secret: plain, secrets = [], sha256: hash, ...rest }): KeyConfig => {
  const all = plain === undefined ? secrets : [plain, ...secrets];
  return { ...rest, secretsSha256: [...(hash === undefined ? [] : [hash]), ...all.map(sha256)] };
});

const pool = section({
  connections: countField('providers.*.pool.connections'),
  warm: countField('providers.*.pool.warm'),
  wait: durationField('providers.*.pool.wait'),
  connectTimeout: durationField('providers.*.pool.connectTimeout'),
  idleTimeout: durationField('providers.*.pool.idleTimeout'),
  lifetime: durationField('providers.*.pool.lifetime'),
  keepWarm: choiceField(settings['providers.*.pool.keepWarm']),
  http2: toggleField('providers.*.pool.http2'),
}).transform(({ wait, connectTimeout, idleTimeout, lifetime, ...rest }): PoolConfig => {
  return {
    ...rest,
    waitMs: wait,
    connectTimeoutMs: connectTimeout,
    idleTimeoutMs: idleTimeout,
    lifetimeMs: lifetime,
  };
});

const tls = section({
  minVersion: choiceField(settings['providers.*.tls.minVersion']),
  ca: name('the path of a PEM file').optional(),
  cert: name('the path of a PEM file').optional(),
  key: name('the path of a PEM file').optional(),
  pins: z.array(field(readPin)).default([]),
});

const check = section({
  kind: choiceField(settings['providers.*.check.kind']),
  interval: durationField('providers.*.check.interval'),
  unhealthyInterval: durationField('providers.*.check.unhealthyInterval'),
  timeout: durationField('providers.*.check.timeout'),
}).transform(({ kind, interval, unhealthyInterval, timeout }): CheckConfig => {
  return {
    kind,
    intervalMs: interval,
    unhealthyIntervalMs: unhealthyInterval,
    timeoutMs: timeout,
  };
});

const breaker = section({
  enabled: toggleField('providers.*.breaker.enabled'),
  window: durationField('providers.*.breaker.window'),
  calls: countField('providers.*.breaker.calls'),
  errorRate: countField('providers.*.breaker.errorRate'),
  failures: countField('providers.*.breaker.failures'),
  probeInterval: durationField('providers.*.breaker.probeInterval'),
  ramp: durationField('providers.*.breaker.ramp'),
}).transform(({ window, probeInterval, ramp, ...rest }): BreakerConfig => {
  return { ...rest, windowMs: window, probeIntervalMs: probeInterval, rampMs: ramp };
});

export const providerSchema = section({
  api: field(readChoice(providerApis)),
  baseUrl: field(readBaseUrl),
  apiKey: secret('a key, not empty').optional(),
  apiKeys: z.array(secret('a key, not empty')).optional(),
  auth: choiceField(settings['providers.*.auth']),
  query: z.record(z.string(), secret('the text of a query parameter')).optional(),
  headers: z.record(z.string(), field(readHeaderValue, true)).optional(),
  streamOptions: toggleField('providers.*.streamOptions'),
  aggregator: toggleField('providers.*.aggregator'),
  completions: toggleField('providers.*.completions'),
  simulated: toggleField('providers.*.simulated'),
  proxy: field(readProxyUrl, true).optional(),
  pool: pool.prefault({}),
  tls: tls.prefault({}),
  check: check.prefault({}),
  breaker: breaker.prefault({}),
}).transform(({ apiKey, apiKeys, ...rest }): ProviderConfig => {
  return { ...rest, apiKeys: apiKeys ?? (apiKey === undefined ? [] : [apiKey]) };
});

const someModalities = z.array(field(readChoice(modalities))).optional();

const capabilities = section({
  contextWindow: field(readTokens).optional(),
  maxOutputTokens: field(readTokens).optional(),
  input: someModalities,
  output: someModalities,
  tools: field(readToggle).optional(),
  structuredOutput: field(readToggle).optional(),
  reasoning: field(readToggle).optional(),
  serves: z.array(field(readChoice(services))).optional(),
});

const target = section({
  provider: name('the name of a provider'),
  model: name("the provider's name for a model"),
  prefill: field(readPrefill).optional(),
  capabilities: capabilities.optional(),
  weight: countField('models.*.targets.*.weight'),
  limits: section({ requestsPerMinute: limitField, tokensPerMinute: limitField }).optional(),
  price: section({
    input: field(readPrice),
    cachedInput: field(readPrice).optional(),
    output: field(readPrice),
  }).optional(),
});

const model = section({
  targets: z.array(target),
  strategy: choiceField(settings['models.*.strategy']),
  sticky: name('prefix, or a field of the request such as user or metadata.session').optional(),
  maxWait: durationField('models.*.maxWait'),
  firstTokenTimeout: durationField('models.*.firstTokenTimeout'),
  idleTimeout: durationField('models.*.idleTimeout'),
  timeout: durationField('models.*.timeout'),
  onSlowFirstToken: choiceField(settings['models.*.onSlowFirstToken']),
  continuation: choiceField(settings['models.*.continuation']),
  continuationScope: choiceField(settings['models.*.continuationScope']),
  holdToolCalls: toggleField('models.*.holdToolCalls'),
}).transform(({ firstTokenTimeout, idleTimeout, timeout, maxWait, ...rest }): ModelConfig => {
  return {
    ...rest,
    firstTokenTimeoutMs: firstTokenTimeout,
    idleTimeoutMs: idleTimeout,
    timeoutMs: timeout,
    maxWaitMs: maxWait,
  };
});

const limits = section({
  requestBody: sizeField('limits.requestBody'),
  requestValues: countField('limits.requestValues'),
  responseBody: sizeField('limits.responseBody'),
  streamLog: sizeField('limits.streamLog'),
  socketFrame: sizeField('limits.socketFrame'),
  readerBuffer: sizeField('limits.readerBuffer'),
  readerStall: durationField('limits.readerStall'),
  socketPing: durationField('limits.socketPing'),
  socketIdle: durationField('limits.socketIdle'),
  socketFrames: countField('limits.socketFrames'),
  connectionsPerKey: countField('limits.connectionsPerKey'),
  connectionsPerAddress: countField('limits.connectionsPerAddress'),
  headTimeout: durationField('limits.headTimeout'),
  requestTimeout: durationField('limits.requestTimeout'),
  requestBodies: sizeField('limits.requestBodies'),
  appendBuffer: sizeField('limits.appendBuffer'),
  workerConcurrency: countField('limits.workerConcurrency'),
  keepAlive: durationField('limits.keepAlive'),
  ownerGrace: durationField('limits.ownerGrace'),
  queueTtl: durationField('limits.queueTtl'),
  queueJobs: countField('limits.queueJobs'),
  queueBytes: sizeField('limits.queueBytes'),
  queueWait: durationField('limits.queueWait'),
  queueMemory: countField('limits.queueMemory'),
  loopDelay: durationField('limits.loopDelay'),
  memory: countField('limits.memory'),
  waiting: countField('limits.waiting'),
  socketAuth: durationField('limits.socketAuth'),
}).transform((raw): ProcessLimits => {
  return {
    requestBodyBytes: raw.requestBody,
    requestValues: raw.requestValues,
    responseBodyBytes: raw.responseBody,
    streamLogBytes: raw.streamLog,
    socketFrameBytes: raw.socketFrame,
    readerBufferBytes: raw.readerBuffer,
    readerStallMs: raw.readerStall,
    socketPingMs: raw.socketPing,
    socketIdleMs: raw.socketIdle,
    socketFrames: raw.socketFrames,
    connectionsPerKey: raw.connectionsPerKey,
    connectionsPerAddress: raw.connectionsPerAddress,
    headTimeoutMs: raw.headTimeout,
    requestTimeoutMs: raw.requestTimeout,
    requestBodiesBytes: raw.requestBodies,
    appendBufferBytes: raw.appendBuffer,
    workerConcurrency: raw.workerConcurrency,
    keepAliveMs: raw.keepAlive,
    ownerGraceMs: raw.ownerGrace,
    queueTtlMs: raw.queueTtl,
    queueJobs: raw.queueJobs,
    queueBytes: raw.queueBytes,
    queueWaitMs: raw.queueWait,
    queueMemory: raw.queueMemory,
    loopDelayMs: raw.loopDelay,
    memory: raw.memory,
    waiting: raw.waiting,
    socketAuthMs: raw.socketAuth,
  };
});

export const fileSchema = section({
  listen: listen.prefault({}),
  redis: section({ url: field(readRedisUrl, true).optional() }).prefault({}),
  shards: countField('shards'),
  retention: durationField('retention'),
  drainTimeout: durationField('drainTimeout'),
  drainDelay: durationField('drainDelay'),
  admin: section({ user: name("the operator's name"), password: secret('a password, not empty') })
    .transform(({ user, password }) => ({ user, passwordSha256: sha256(password) }))
    .optional(),
  database: section({
    url: field(readDatabaseUrl, true),
    retention: durationField('database.retention'),
    auditRetention: durationField('database.auditRetention'),
  })
    .transform(({ url, retention, auditRetention }) => ({
      url,
      retentionMs: retention,
      auditRetentionMs: auditRetention,
    }))
    .optional(),
  debugLog: section({
    dir: name('a folder').default(settings['debugLog.dir'].default),
    maxBytes: sizeField('debugLog.maxBytes'),
    retention: durationField('debugLog.retention'),
    sample: field(readShare).default(0),
  })
    .transform(({ retention, ...rest }) => ({ ...rest, retentionMs: retention }))
    .optional(),
  delivery: section({
    coalesce: field(readCoalesce).default(settings['delivery.coalesce'].default as 'auto'),
  }).prefault({}),
  board: choiceField(settings.board),
  chaos: toggleField('chaos'),
  budgets: section({ onLedgerDown: choiceField(settings['budgets.onLedgerDown']) }).prefault({}),
  webhooks: section({
    secret: field(readWebhookSecret, true),
    allowPrivate: toggleField('webhooks.allowPrivate'),
    url: field(readWebhookUrl, true).optional(),
    events: z.array(field(readChoice(webhookEvents))).default([...webhookEvents]),
  }).optional(),
  telemetry: section({
    otlp: field(readBaseUrl).optional(),
    sample: field(readShare).default(Number(settings['telemetry.sample'].default)),
    propagate: toggleField('telemetry.propagate'),
    trustClients: toggleField('telemetry.trustClients'),
  }).optional(),
  keys: z.array(key).optional(),
  providers: z.record(z.string(), providerSchema).default({}),
  models: z.record(z.string(), model).default({}),
  limits: limits.prefault({}),
});

export type ParsedFile = z.output<typeof fileSchema>;

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
