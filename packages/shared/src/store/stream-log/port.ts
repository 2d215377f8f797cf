import type { DispatchedJob } from '../../domain/dispatch.ts';
import type { EntryId, Line, TerminalKind } from '../../domain/entry.ts';
import type { JobEnd } from '../../domain/job-end.ts';
import type { Order } from '../../domain/order.ts';
import type { RequestMeta } from '../../domain/request.ts';
import type { Claim, SealOutcome } from '../../domain/seal.ts';

export type { Claim, Past, PastEntry, SealOutcome } from '../../domain/seal.ts';

/**
 * The durable log of every request and its live path. store/submit/port.ts creates a request together with
 * its job.
 *
 * Guarantees of every adapter:
 * - a line is in the log before any reader gets it, and both happen in one step or not at all;
 * - from the moment `seal` returns, every write of an older run is refused;
 * - nothing follows a terminal line, and there is exactly one;
 * - everything expires, from its first write on.
 */
export type StreamLog = {
  /** Worker: takes the log over for one run and fences every older one. */
  seal(id: string, claim: Claim): Promise<SealOutcome>;
  /**
   * Worker: appends to many logs of one shard at once. Outcomes are in the order of the items. `at`: the time that the
   * entries get, in milliseconds since the epoch; by default now.
   */
  append(shard: number, items: readonly AppendItem[], at?: number): Promise<AppendOutcome[]>;
  /** Any process: ends a request from outside its run. The first terminal line wins. */
  finish(
    id: string,
    line: string,
    kind: TerminalKind,
    options?: FinishOptions,
  ): Promise<FinishOutcome>;
  /**
   * For an ingress that stops: the request continues to its end, with or without readers. From now on neither
   * the leaving of this caller nor the death of its ingress ends it. `caller`: the caller by Idempotency-Key,
   * if there is one. Idempotent.
   */
  detach(id: string, caller?: Caller): Promise<DetachOutcome>;
  /**
   * Worker: stores the ends of a run's attempts after another process has ended its request. They are kept
   * behind the terminal line, so no reader sees them; `describe` returns them. False, and without effect, if the
   * request has not ended or belongs to another run. For a minute after `remove` it still works, for the ledger. `facts`: LedgerFacts as JSON, for the ledger.
   */
  amend(id: string, nonce: string, lines: readonly string[], facts?: string): Promise<boolean>;
  /** A request's meta, the end of its log, and how it ended. */
  describe(id: string): Promise<Described | undefined>;
  /** As `describe`; from now on the inbox receives what is appended. */
  subscribe(id: string, inbox: string): Promise<Described | undefined>;
  unsubscribe(id: string, inbox: string): Promise<void>;
  /**
   * Lines after a cursor, oldest first: as many entries as hold at most `maxBytes` (UTF-8), and at least one;
   * `undefined` if there is no such log. `timed`: the lines have their times.
   */
  read(
    id: string,
    after: EntryId,
    maxBytes: number,
    options?: { timed?: boolean },
  ): Promise<ReadOutcome | undefined>;
  /** The request's body, until it ends; as long as its log, if its meta has `keepsBody`. */
  body(id: string): Promise<string | undefined>;
  /** Removes an ended request, its log and its body. False, and without effect, if it has not ended or is unknown. */
  remove(id: string): Promise<boolean>;
  /**
   * Any process: packs the logs of these requests of one shard. Returns how many it packed. It touches only ended
   * logs, and readers see no difference.
   */
  pack(shard: number, ids: readonly string[]): Promise<number>;
  /** How many of a request's inboxes have a subscribed ingress; at least 1 for a detached request. */
  liveReaders(id: string): Promise<number>;
};

/** Makes repeated calls with one Idempotency-Key create one request. */
export type Once = {
  /** Hash of the Idempotency-Key and its owner. The request has to be in the shard that follows from it. */
  hash: string;
  /** Fingerprint of the request: the same key with another fingerprint is the client's mistake. */
  fingerprint: string;
  caller: Caller;
};

/** A client's call that asked for a request by its Idempotency-Key, and reads it. */
export type Caller = {
  /** Unique to the call: a call that ioredis sends again is still one caller. */
  token: string;
  /**
   * The inbox of its ingress, as long as its leaving may end the request; without an inbox the caller never
   * leaves.
   */
  inbox: string | undefined;
};

export type FinishOptions = {
  /** This caller leaves: the request continues while another one is present. */
  leaver?: Caller | undefined;
  /** No client has received an answer: frees the Idempotency-Key for a retry. */
  freesKey?: boolean;
};

/** `gone`: there is no such request. `ended`: it has its terminal entry, so there is nothing to detach. */
export type DetachOutcome = 'detached' | 'ended' | 'gone';

export type AppendItem = {
  id: string;
  nonce: string;
  /** The newest line before these. */
  prev: EntryId;
  /** Entries of the log before this write, as the run counts them. */
  entries: number;
  /** The id of the last of these lines. */
  last: EntryId;
  lines: readonly string[];
  /** Set when the last line is a terminal one. */
  terminal?: TerminalKind;
  /** For a terminal line: how the request's job ends in the same step, if it is still this run's. */
  job?: JobEnd;
  /** Of a terminal line: LedgerFacts as JSON, if it is written at this time. Absent: the request gets no ledger entry. */
  facts?: (at: number) => string;
};

/**
 * `job_ended`: written, or a duplicate, and the request's job has ended, too.
 * `duplicate`: the same write succeeded before (a client that re-sends after a reconnect).
 * `lost`: the store has lost earlier writes, as a failover may; a write after them would leave a hole that
 * later readers would not notice.
 * `damaged`: a key of the request has the wrong type; the other items of the call are unaffected.
 */
export type AppendOutcome =
  | 'written'
  | 'job_ended'
  | 'duplicate'
  | 'fenced'
  | 'ended'
  | 'gone'
  | 'lost'
  | 'damaged';

export type FinishOutcome =
  | { kind: 'finished' }
  /** The leaver is removed; other callers are present. */
  | { kind: 'shared' }
  | { kind: 'ended'; by: TerminalKind }
  | { kind: 'gone' };

export type Described = {
  meta: RequestMeta;
  /** The newest line; `0-0` when there is none. */
  last: EntryId;
  ended: TerminalKind | undefined;
  /** Lines that its run has added after the end (`amend`), if there are any. */
  late?: readonly string[];
};

export type ReadOutcome = {
  lines: Line[];
  /** False if the log had no more at the time of reading; true if there is more or it is unknown. */
  more: boolean;
  /**
   * Set if the log ends before `after`, or if a run in the part that was read continued from a line before
   * `after`: the reader's lines after that point were lost in a Redis failover, and it must discard them.
   */
  ahead: boolean;
};

/** One write as it arrives in an inbox. `prev` is the line before the first one. */
export type Frame = { id: string; prev: EntryId; last: EntryId; texts: readonly string[] };

/** The inbox of one ingress. */
export type Inbox = {
  readonly name: string;
  close(): Promise<void>;
};

export type InboxEvents = {
  onFrame(frame: Frame): void;
  /** An operator's order to this ingress (domain/order.ts). */
  onOrder?(order: Order): void;
  /** The control plane asks this ingress (store/inquiries). */
  onInquiry?(message: string): void;
  /** The connection was lost and is back: frames may have been missed, so every reader must read its log again. */
  onGap(): void;
};

/** Messages to one worker. */
export type WorkerEvents = {
  /** Another process has ended the request: stop the run. */
  onFinished(id: string): void;
  /** An ingress sent a job for one of the slots that this worker offers. */
  onJob?(shard: number, job: DispatchedJob): void;
  /** Many jobs wait in this shard: this worker's share of them. */
  onJobsWaiting(shard: number, jobs: number): void;
  /** An ingress asks for a report (store/reports/port.ts). */
  onQuestion?(question: string): void;
  /** An operator's order to this worker (domain/order.ts). */
  onOrder?(order: Order): void;
  /** The control plane asks this worker (store/inquiries). */
  onInquiry?(message: string): void;
  /** An operator kills this worker, or the one that runs this request. */
  onKill?(request: string | undefined): void;
  /** The connection was lost and is back: messages may have been missed. */
  onGap(): void;
};

export type Subscription = { close(): Promise<void> };

export type LiveChannels = {
  openInbox(name: string, events: InboxEvents): Promise<Inbox>;
  openWorker(name: string, events: WorkerEvents): Promise<Subscription>;
  /** How many workers are subscribed on every shard now. */
  countWorkers(): Promise<number>;
};
