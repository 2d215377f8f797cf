import { parseRequestId, shardText } from '../domain/request.ts';
import type { Priority } from '../domain/request.ts';

/**
 * Every Redis key and channel. A shard is one hash tag, so that all keys of a request are in one
 * slot: a script touches one slot, and Redis Cluster spreads shards over nodes.
 */
export type Keyspace = {
  readonly namespace: string;
  /** `{millrace:0}`: the hash tag, and the prefix that BullMQ gets. */
  tag(shard: number): string;
  /** BullMQ's key of this name in the queue of a shard; without a name, the prefix of all of them. */
  queue(shard: number, name?: string): string;
  /** The prefixes of a shard's requests, logs and bodies: the id follows. */
  prefixes(shard: number): { request: string; log: string; body: string };
  // Callers parse an id that comes from outside before they pass it to these.
  /** Hash: a request's meta, its run and its readers. */
  request(id: string): string;
  /** Stream: every line that readers get, in order, and the terminal entry. */
  log(id: string): string;
  /** String: the request body, until the request ends; with `keepsBody`, as long as its log. */
  body(id: string): string;
  /** Hash: the request that belongs to an Idempotency-Key, by the hash of that key and its owner. */
  once(shard: number, hash: string): string;
  /** Channel: the inbox of one ingress. */
  inbox(shard: number, ingress: string): string;
  /** Channel: an ingress that listens on it can read packed logs. */
  logReader(shard: number, ingress: string): string;
  /** String: a trial value, used to check whether Redis can pack logs. */
  packingTrial(shard: number): string;
  /** Channel: messages to one worker. */
  worker(shard: number, worker: string): string;
  /** Channel: every worker listens on it, so its number of subscribers is the number of workers. */
  workers(shard: number): string;
  /** Sorted set: workers that offer slots, by their free slots. */
  offers(shard: number): string;
  /** Hash: for each of these workers the number of the last job sent to it, and of the last one that it may be sent. */
  dispatches(shard: number): string;
  /** Hash: the registered workers, and the newest beat of each. */
  beats(shard: number): string;
  /** Sorted set: workers that died recently without a known cause, by the time of death (ms since the epoch). */
  deaths(shard: number): string;
  /** String: the newest report of one worker. In shard 0, like the registry that it belongs to. */
  report(worker: string): string;
  /** String: how many workers have answered one question for reports. In shard 0. */
  answers(question: string): string;
  /** List: the answers to one inquiry (store/inquiries). In shard 0. */
  inquiryAnswers(question: string): string;
  /** Hash: the processes of the fleet, each as it last announced itself. In shard 0, like their channels. */
  processes(): string;
  /** Sorted set: the same processes, by when they are gone unless they announce themselves again (ms since the epoch). */
  processLeases(): string;
  /** Hash: orders of operators that stand, by process. */
  orders(): string;
  /** Stream: ended requests that the ledger's database does not have yet. */
  ledger(shard: number): string;
  /** Stream: ended requests with a webhook, of which no delivery was made yet. */
  endedJobs(shard: number): string;
  /** String: the lease of the reaper that leads. */
  reaper(shard: number): string;
  /** Hash: the windows of a quota. It has a hash slot of its own, because it belongs to no request. */
  limit(name: string): string;
  /** Sorted set: the leases of a name that are held, each by its end (ms since the epoch). */
  leases(name: string): string;
  /** Hash: what one API key has used of its budgets. In one slot with the next one. */
  budgetTotals(keyId: string): string;
  /** Hash: the reservations of that key's requests that the ledger does not have yet, by request id. */
  reservations(keyId: string): string;
  /** Hash: for each API key with waiting requests of a class, the virtual finish time of the last one. */
  finishes(shard: number, priority: Priority): string;
  /** Hash: jobs taken so far, and the bytes of waiting bodies. */
  queueCounts(shard: number): string;
  /** Sorted set: waiting requests by their deadline. */
  deadlines(shard: number): string;
  /** Sorted set: models that workers skip, by when a worker last reported it (seconds since the epoch). */
  skippedModels(shard: number): string;
  // Data that workers share belongs to no request, so it has a hash tag of its own.
  /** Channel: texts that workers broadcast. */
  gossip(): string;
  /** Hash: states that a worker reads when it joins. */
  sharedStates(): string;
  /** String: the address of the control plane (store/control-plane.ts). */
  controlPlane(): string;
  /** String: the fleet's part of the key that signs sessions (store/session-secret.ts). It stays. */
  sessionSecret(): string;
  /** Hash: the API keys that operators created, and the version of all of them. */
  apiKeys(): string;
  /** Channel: the version after each change of these keys. */
  apiKeyChanges(): string;
  /** Stream: audit entries that the ledger's database does not have yet. */
  audit(): string;
  /** Hash: what the script that adds audit entries knows of earlier ones. */
  auditState(): string;
  /** Stream: records of the debug log that the control plane does not have yet. */
  debugLog(): string;
  /** Hash: how many of them were dropped. */
  debugState(): string;
  /** Hash: targets that an operator has opened (store/target-holds). */
  targetHolds(): string;
  /** The prefix that BullMQ gets for the deliveries of webhooks. */
  deliveries(): string;
  /** Hash: the conditions that need an operator's attention (store/attention). */
  attention(): string;
  /** Set: the processes that report how they stand to their config file (store/process-configs.ts). */
  processConfigs(): string;
  /** String: the report of one of them. */
  processConfig(name: string): string;
  /** String: how often operators have asked all processes to read their config again. */
  reloadOrders(): string;
  /** String: a lease, by the name of what is leased. */
  gossipLease(name: string): string;
};

export const queueName = 'requests';

export function keyspace(namespace = 'millrace'): Keyspace {
  const tag = (shard: number) => `{${namespace}:${shard}}`;
  const tagOf = (id: string) => `{${namespace}:${shardText(id)}}`;
  const requests = (tagged: string) => `${tagged}:req:`;
  const logs = (tagged: string) => `${tagged}:log:`;
  const bodies = (tagged: string) => `${tagged}:body:`;
  // An id may have any characters; braces are encoded, so that they end no hash tag.
  const budgetTag = (keyId: string) => `{${namespace}:budget:${encodeURIComponent(keyId)}}`;
  const fleetTag = `{${namespace}:fleet}`;
  return {
    namespace,
    tag,
    queue: (shard, name = '') => `${tag(shard)}:${queueName}:${name}`,
    prefixes: (shard) => ({
      request: requests(tag(shard)),
      log: logs(tag(shard)),
      body: bodies(tag(shard)),
    }),
    request: (id) => requests(tagOf(id)) + id,
    log: (id) => logs(tagOf(id)) + id,
    body: (id) => bodies(tagOf(id)) + id,
    once: (shard, hash) => `${tag(shard)}:once:${hash}`,
    inbox: (shard, ingress) => `${tag(shard)}:inbox:${ingress}`,
    logReader: (shard, ingress) => `${tag(shard)}:log-reader:${ingress}`,
    packingTrial: (shard) => `${tag(shard)}:packing-trial`,
    worker: (shard, worker) => `${tag(shard)}:worker:${worker}`,
    workers: (shard) => `${tag(shard)}:workers`,
    offers: (shard) => `${tag(shard)}:offers`,
    dispatches: (shard) => `${tag(shard)}:dispatches`,
    beats: (shard) => `${tag(shard)}:beats`,
    deaths: (shard) => `${tag(shard)}:deaths`,
    report: (worker) => `${tag(0)}:report:${worker}`,
    answers: (question) => `${tag(0)}:answers:${question}`,
    inquiryAnswers: (question) => `${tag(0)}:inquiry:${question}`,
    processes: () => `${tag(0)}:processes`,
    processLeases: () => `${tag(0)}:process-leases`,
    orders: () => `${tag(0)}:orders`,
    ledger: (shard) => `${tag(shard)}:ledger`,
    endedJobs: (shard) => `${tag(shard)}:ended-jobs`,
    reaper: (shard) => `${tag(shard)}:reaper`,
    finishes: (shard, priority) => `${tag(shard)}:finishes:${priority}`,
    queueCounts: (shard) => `${tag(shard)}:queue-counts`,
    deadlines: (shard) => `${tag(shard)}:deadlines`,
    skippedModels: (shard) => `${tag(shard)}:avoided`,
    limit: (name) => `${namespace}:limit:${name}`,
    leases: (name) => `${namespace}:leases:${name}`,
    budgetTotals: (keyId) => `${budgetTag(keyId)}:totals`,
    reservations: (keyId) => `${budgetTag(keyId)}:reservations`,
    gossip: () => `${fleetTag}:told`,
    sharedStates: () => `${fleetTag}:facts`,
    controlPlane: () => `${fleetTag}:control-plane`,
    sessionSecret: () => `${fleetTag}:session-secret`,
    apiKeys: () => `${fleetTag}:api-keys`,
    apiKeyChanges: () => `${fleetTag}:api-key-changes`,
    audit: () => `${fleetTag}:audit`,
    auditState: () => `${fleetTag}:audit-state`,
    debugLog: () => `${fleetTag}:debug-log`,
    debugState: () => `${fleetTag}:debug-state`,
    targetHolds: () => `${fleetTag}:target-holds`,
    deliveries: () => fleetTag,
    attention: () => `${fleetTag}:attention`,
    processConfigs: () => `${fleetTag}:configs`,
    processConfig: (name) => `${fleetTag}:config:${name}`,
    reloadOrders: () => `${fleetTag}:reload-orders`,
    gossipLease: (name) => `${fleetTag}:lease:${name}`,
  };
}

/** Throws on a text that is no request id: callers check ids from outside first. */
export function shardOf(id: string): number {
  const parsed = parseRequestId(id);
  if (!parsed) throw new Error(`not a request id: ${id.slice(0, 60)}`);
  return parsed.shard;
}
