import { bullJob, bullKey, bullMeta } from './queue/bullmq-layout.ts';

/*
 * The stored names of every field of our records in Redis, each declared once. A script names a field as
 * `'@record.field'`, which script.ts replaces with the stored name; it rejects a script that names an unknown
 * one. Processes of different versions share these records in a rolling deploy: a stored name never changes
 * its meaning.
 *
 * A list of readers or callers is one text, separated by spaces, instead of a set: a set is a key of its own,
 * which each script would have to renew, for one or two members.
 */

/** Hash of one request (`Keyspace.request`). */
const request = {
  /** Its RequestMeta as JSON. A hash without it is no request. */
  meta: 'meta',
  /** Inboxes of the ingresses that read it, with spaces between. */
  readers: 'subs',
  /** Number of the newest run, and the activation of its job that began this run. */
  run: 'run',
  activation: 'activation',
  /** Nonce of the newest run: a write with another nonce is fenced. */
  nonce: 'nonce',
  /** The worker of the newest run, and when it took over (ms since the epoch). */
  worker: 'worker',
  sealedAt: 'sealed_at',
  /** The terminal kind, once it has ended. */
  end: 'end',
  /** Key of the record of its Idempotency-Key, if it has one, and its callers as `inbox/token`, with spaces between. */
  once: 'once',
  callers: 'callers',
  /** Lines about attempts that came after the end. */
  late: 'late',
  /** Its log as a compressed value, with the id and the hash of the log's last entry. */
  packed: 'packed',
  last: 'last',
  /** How often it was suspected of a worker's death, and how often it was the only suspect. */
  suspected: 'suspected',
  blamed: 'blamed',
  /** Present if its end is delivered to a webhook. */
  webhook: 'webhook',
  /** Present if its body is kept as long as its log. */
  keepsBody: 'keeps_body',
} as const;

/** Hash of one Idempotency-Key (`Keyspace.once`). */
const once = {
  /** The request to which it belongs, and that request's key. */
  id: 'id',
  request: 'request',
  /** Fingerprint of the request. */
  fingerprint: 'fingerprint',
} as const;

/** Hash of one shard's queue (`Keyspace.queueCounts`). A name that ends with `:` is a prefix. */
const counts = {
  /** Jobs taken so far. */
  taken: 'taken',
  /** Bytes of waiting bodies. */
  bytes: 'bytes',
  /** Jobs that were given a place so far. */
  placed: 'placed',
  /** By the start of a class's band: the clock of the class, advanced while its head stayed. */
  clock: 'clock:',
  /** By the start of a class's band: how often the class began anew. */
  beginning: 'beginning:',
  /** Ended requests without a ledger entry, because too many waited for the database. */
  ledgerDropped: 'ledger-dropped',
  /** Ended requests whose webhook was not delivered, because too many waited for a control plane. */
  webhooksDropped: 'webhooks-dropped',
  /** By model: what `placed` was at its newest job. */
  model: 'model:',
} as const;

/** Hash of one shard's workers that offer slots (`Keyspace.dispatches`), each by its id. */
const dispatches = {
  /** Number of the last job that it was sent. */
  sent: 'sent:',
  /** Number of the last job that it may be sent. */
  last: 'last:',
} as const;

/** Our fields in BullMQ's hash of a job. */
const job = {
  /** The score at which it was queued, and the class's `beginning` at that time. */
  place: 'place',
  beginning: 'beginning',
} as const;

/** Fields of an entry in the stream of a log (`Keyspace.log`). */
const entry = {
  /** The lines of an entry. */
  lines: 'e',
  /** When its run sent them (ms since the epoch), by the worker's clock. Absent in a terminal line from outside. */
  at: 't',
  /** A seal as JSON, with the id of the last line before it. */
  seal: 's',
  previous: 'prev',
} as const;

/** The first letters of the lines that scripts distinguish (domain/entry.ts has all of them). */
const line = {
  chunk: 'c',
  result: 'r',
  /** No line of a log: in a script's reply the time of an entry, before its lines. */
  time: '@',
} as const;

/** Fields of an entry in a shard's ledger stream (`Keyspace.ledger`). */
const ledger = {
  id: 'id',
  /** The request's RequestMeta as JSON. */
  meta: 'meta',
  /** The terminal line; absent in an entry that only adds facts to an earlier one. */
  end: 'end',
  /** LedgerFacts (domain/ledger.ts) as JSON; absent if no worker ended it. */
  facts: 'facts',
  /** The number of its newest run. */
  run: 'run',
} as const;

/** Fields of an entry in a shard's stream of ended jobs (`Keyspace.endedJobs`): the RequestMeta as JSON, and the terminal line. */
const endedJob = {
  meta: 'meta',
  end: 'end',
} as const;

/** Hash of the API keys that operators created (`Keyspace.apiKeys`). A name that ends with `:` is a prefix. */
const apiKeys = {
  /** Microseconds since the epoch at the last change, or one more than before. */
  version: 'version',
  /** By id: the key as JSON. */
  key: 'key:',
} as const;

/** The audit entry, as JSON, in an entry of its stream (`Keyspace.audit`); the other fields are of `Keyspace.auditState`. */
const audit = {
  entry: 'entry',
  /** Entries that were not kept because too many waited. */
  dropped: 'dropped',
  /** The state of the config that was recorded last (store/audit/config-audit.ts). */
  config: 'config',
} as const;

/**
 * Hash of the budgets of one API key (`Keyspace.budgetTotals`). A name that ends with `:` is a prefix, before a unit and a
 * period (`usd:2026-11-30`), or before a period.
 */
const budgets = {
  /** What the ledger has of each period, and how many requests of unknown price. */
  spent: 'spent:',
  unpriced: 'unpriced:',
  /** The units, behind a prefix. */
  usd: 'usd:',
  tokens: 'tokens:',
  /** The sum of the reservations of each period. */
  reserved: 'reserved:',
  /** The reading of the ledger that was written last. */
  written: 'written',
  /** When that was, in milliseconds since the epoch. */
  confirmed: 'confirmed',
  /** In the hash of the reservations: what requests of one day share, beyond the bound. */
  shared: 'shared:',
} as const;

/** An entry of the debug log's stream (`Keyspace.debugLog`); `dropped` is of `Keyspace.debugState`. */
const debug = {
  request: 'request',
  /** Its frame (store/debug-log/framing.ts), compressed with gzip, in base64. */
  record: 'record',
  dropped: 'dropped',
} as const;

/** Parts of keys and channels that scripts append to a shard's tag. */
const key = {
  inbox: ':inbox:',
  ledger: ':ledger',
  endedJobs: ':ended-jobs',
  counts: ':queue-counts',
  logReader: ':log-reader:',
  worker: ':worker:',
} as const;

export const records = {
  request,
  once,
  counts,
  dispatches,
  job,
  entry,
  line,
  ledger,
  endedJob,
  apiKeys,
  audit,
  debug,
  budgets,
  key,
  bullJob,
  bullKey,
  bullMeta,
} as const;
