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
  /** What BullMQ has under a name in the queue of a shard; without a name, the prefix of all of it. */
  queue(shard: number, name?: string): string;
  /** What the keys of a shard's requests, of their logs and of their bodies begin with: the id follows. */
  prefixes(shard: number): { request: string; log: string; body: string };
  // The keys of a request take ids that are known to be ours: what comes from outside is parsed first.
  /** Hash: what a request is, who runs it, who reads it. */
  request(id: string): string;
  /** Stream: everything that was ever shown, in order, and the terminal entry. */
  log(id: string): string;
  /** String: the request body, as long as it is needed. */
  body(id: string): string;
  /** Hash: which request an Idempotency-Key stands for, by the hash of that key and its owner. */
  once(shard: number, hash: string): string;
  /** Channel: the live path to one ingress. */
  inbox(shard: number, ingress: string): string;
  /** Channel: by listening on it an ingress tells that it can read packed logs. */
  logReader(shard: number, ingress: string): string;
  /** String: whether logs can be packed is tried with it. */
  packingTrial(shard: number): string;
  /** Channel: what one worker must hear at once. */
  worker(shard: number, worker: string): string;
  /** Channel: every worker listens on it, so that its number of subscribers is theirs. */
  workers(shard: number): string;
  /** Sorted set: workers that may be sent jobs without asking, by their free places. */
  offers(shard: number): string;
  /** Hash: the number of the last job that each of them was sent, and of the last one that it may be sent. */
  dispatches(shard: number): string;
  /** Hash: the workers that are known, and the newest beat of each. */
  beats(shard: number): string;
  /** Sorted set: workers that died lately by no job's fault, by when (ms since the epoch). */
  deaths(shard: number): string;
  /** String: the newest report of one worker, on shard 0 like the list that names them all. */
  report(worker: string): string;
  /** String: how many workers have answered one question for reports, on shard 0 like these. */
  answers(question: string): string;
  /** String: the lease of the reaper that acts. */
  reaper(shard: number): string;
  /** Hash: what was used of a limit lately. A slot of its own: no request belongs to it. */
  limit(name: string): string;
  /** Sorted set: what is held of something at this moment, each with the end of its life. */
  leases(name: string): string;
  /** Hash: of each key with requests of a class that wait, the place of the last one. */
  finishes(shard: number, priority: Priority): string;
  /** Hash: jobs taken so far, and the bytes of those that wait. */
  queueCounts(shard: number): string;
  /** Sorted set: waiting requests by their deadline. */
  deadlines(shard: number): string;
  /** Sorted set: models that workers pass over, by when one last said so (seconds since the epoch). */
  skippedModels(shard: number): string;
  // What workers share is of no request: one tag of its own, wherever their requests are.
  /** Channel: what workers tell each other. */
  gossip(): string;
  /** Hash: what a worker that comes later has to know. */
  sharedStates(): string;
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
    reaper: (shard) => `${tag(shard)}:reaper`,
    finishes: (shard, priority) => `${tag(shard)}:finishes:${priority}`,
    queueCounts: (shard) => `${tag(shard)}:queue-counts`,
    deadlines: (shard) => `${tag(shard)}:deadlines`,
    skippedModels: (shard) => `${tag(shard)}:avoided`,
    limit: (name) => `${namespace}:limit:${name}`,
    leases: (name) => `${namespace}:leases:${name}`,
    gossip: () => `${fleetTag}:told`,
    sharedStates: () => `${fleetTag}:facts`,
    gossipLease: (name) => `${fleetTag}:lease:${name}`,
  };
}

/** Throws on an id that is none of ours: callers check what comes from outside. */
export function shardOf(id: string): number {
  const parsed = parseRequestId(id);
  if (!parsed) throw new Error(`not a request id: ${id.slice(0, 60)}`);
  return parsed.shard;
}
