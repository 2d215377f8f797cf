import type { Config } from '@millrace/shared/config';
import { isTerminalLine, logStart, sameEntryId } from '@millrace/shared/domain/entry';
import type { EntryId, Line } from '@millrace/shared/domain/entry';
import type { RequestMeta } from '@millrace/shared/domain/request';
import { StoreSilent } from '@millrace/shared/store/outage';
import type {
  Caller,
  Described,
  DetachOutcome,
  StreamLog,
} from '@millrace/shared/store/stream-log/port';
import type { Charge, KeyLimits } from '../admission/quota.ts';
import { readerLife } from '../delivery/reader-life.ts';
import type { GoneReason, Reader, ReaderSink, Relay } from '../delivery/relay.ts';
import { startOf } from '../delivery/start.ts';
import { refuse, refuseFor, refuseGone } from '../errors.ts';
import type { Refused } from '../errors.ts';
import { within } from '../store-timeout.ts';
import type { Client, Exchange } from './exchange-client.ts';
import type { Prepare, Prepared } from './prepare.ts';
import { beginCreating, beginReading } from './state.ts';
import type { Effect, Event, State } from './state.ts';
import { step } from './step.ts';
import type { Creation, Late, Submitter } from './submit.ts';

/** Milliseconds that a drain waits for Redis; after that, clients are sent away anyway. */
export const handOverMs = 1000;

export type Exchanges = {
  prepare: Prepare;
  /**
   * Charges the key, creates the request, and reads it for the client, who has it up to `after`, from `from` on (if absent,
   * from `after` on).
   */
  open(prepared: Prepared, client: Client, after?: EntryId, from?: EntryId): Exchange;
  /** Reads a request that exists, for a client that subscribes to it. The caller has subscribed the inbox. */
  read(described: Described, client: Client, after: EntryId): Exchange;
};

export type ExchangeDeps = {
  config: Pick<Config, 'models' | 'limits'>;
  prepare: Prepare;
  submitter: Pick<Submitter, 'create' | 'withdraw' | 'leave' | 'detach'>;
  keyLimits: KeyLimits;
  relay: Pick<Relay, 'openFresh' | 'open' | 'hold'>;
  log: Pick<StreamLog, 'subscribe'>;
  /** The name of this ingress' inbox. */
  inbox: string;
  onHandedOver(): void;
  onError(error: unknown): void;
};

export function createExchanges(deps: ExchangeDeps): Exchanges {
  return {
    prepare: deps.prepare,
    open(prepared, client, after = logStart, from = after) {
      const { meta, once } = prepared;
      const state = beginCreating(meta.id, {
        owned: meta.attached,
        callers: once ? [once.caller] : [],
        reads: prepared.inbox !== undefined,
        continues: !sameEntryId(after, logStart),
      });
      const driver = new Driver(deps, client, { meta, state, after, from });
      driver.charge(prepared).catch(deps.onError);
      return driver;
    },
    read({ meta }, client, after) {
      const driver = new Driver(deps, client, {
        meta,
        state: beginReading(meta.id),
        after,
        from: after,
      });
      driver.openReader();
      return driver;
    },
  };
}

type Begin = { meta: Readonly<RequestMeta>; state: State; after: EntryId; from: EntryId };

/** Dispatches events to the exchange's state machine and executes its effects. */
class Driver implements Exchange {
  readonly #deps: ExchangeDeps;
  readonly #client: Client;
  /** The client's own request, also if its Idempotency-Key belongs to another one. */
  readonly #meta: Readonly<RequestMeta>;
  /** Set until the request was sent. */
  #prepared: Prepared | undefined;
  #charge: Charge | undefined;
  #late: Late | undefined;
  /** The creation of the request has begun. */
  #isSent = false;
  #state: State;
  /** The client has the lines up to this one. */
  readonly #after: EntryId;
  /** Where the reader begins. */
  #from: EntryId;
  #reader: Reader | undefined;
  #drainTimer: NodeJS.Timeout | undefined;
  readonly #drained = new Set<() => void>();

  constructor(deps: ExchangeDeps, client: Client, { meta, state, after, from }: Begin) {
    this.#deps = deps;
    this.#client = client;
    this.#meta = meta;
    this.#state = state;
    this.#after = after;
    this.#from = from;
  }

  get id(): string {
    return this.#state.id;
  }

  get isOver(): boolean {
    return this.#state.kind === 'ended' || this.#state.kind === 'withdrawn';
  }

  /** The client left, and its request continues: a drain has no client to wait for. */
  get #hasNoClient(): boolean {
    return this.#state.kind === 'creating' && this.#state.client === 'gone';
  }

  resume(): void {
    this.#reader?.resume();
  }

  leave(reason: string): void {
    this.#dispatch({ kind: 'left', reason });
  }

  share(owned: boolean, callers: readonly Caller[]): void {
    this.#dispatch({ kind: 'shared', owned, callers });
  }

  expel(refused: Refused, reason: string): void {
    this.#dispatch({ kind: 'failed', refused, reason });
    this.#client.released?.();
  }

  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#drained.add(resolve);
      this.#dispatch({ kind: 'drain' });
    });
  }

  async charge(prepared: Prepared): Promise<void> {
    const { id, keyId, attached, reader, model, createdAt } = prepared.meta;
    this.#prepared = prepared;
    const isHere = attached || reader === 'plain';
    let verdict: Charge | Refused;
    try {
      const { keyLimits } = this.#deps;
      const { inner: body } = prepared;
      verdict = await keyLimits.charge({ id, keyId, body, model, createdAt, attached: isHere });
    } catch (error) {
      this.#deps.onError(error);
      verdict = refuseFor(error);
    }
    if (verdict.kind === 'charged') {
      this.#charge = verdict;
      this.#dispatch({ kind: 'charged' });
    } else this.#dispatch({ kind: 'refused', refused: verdict });
    if (this.isOver) this.#client.released?.();
  }

  /** Opens the reader of a request that exists. */
  openReader(): void {
    const { relay, config } = this.#deps;
    this.#client.opening?.();
    const life = readerLife(this.#meta, config);
    this.#reader = relay.open(this.id, this.#from, this.#sink(), life);
  }

  #dispatch(event: Event): void {
    const [next, effects] = step(this.#state, event);
    this.#state = next;
    for (const effect of effects) this.#execute(effect);
    if (this.isOver || this.#hasNoClient) this.#end();
  }

  #end(): void {
    clearTimeout(this.#drainTimer);
    for (const resolve of this.#drained) resolve();
    this.#drained.clear();
  }

  #execute(effect: Effect): void {
    const { keyLimits, onError } = this.#deps;
    const client = this.#client;
    switch (effect.kind) {
      case 'create':
        this.#create().catch((error: unknown) => this.#fail(error));
        return;
      case 'join':
        this.#join(effect.id).catch((error: unknown) => this.#fail(error));
        return;
      case 'read_joined':
        this.openReader();
        return;
      case 'close_reader':
        this.#reader?.close();
        return;
      case 'withdraw':
        this.#withdraw();
        return;
      case 'refund':
        this.#charge?.refund();
        return;
      case 'release':
        keyLimits.ended({ id: this.id, keyId: this.#meta.keyId });
        return;
      case 'let_go':
        keyLimits.readerLeft(this.id);
        return;
      case 'leave':
        this.#leave(effect);
        return;
      case 'await_drain':
        this.#drainTimer = setTimeout(() => this.#dispatch({ kind: 'drain_overdue' }), handOverMs);
        return;
      case 'detach':
        this.#detach(effect).catch(onError);
        return;
      case 'notify_created':
        client.created?.(effect.id);
        return;
      case 'notify_joined':
        client.joined?.(effect.id);
        return;
      case 'notify_refused':
        client.refused(effect.refused);
        return;
      case 'notify_moved':
        client.moved(effect.id);
        return;
      case 'cut':
        client.cut?.();
    }
  }

  /** A client never waits for an exchange that has failed. */
  #fail(error: unknown): void {
    this.#deps.onError(error);
    const refused = refuseFor(error);
    // Nothing was sent to Redis yet.
    const isUnsent = this.#state.kind === 'creating' && !this.#isSent;
    this.#dispatch(
      isUnsent ? { kind: 'not_created', refused, sent: false } : { kind: 'failed', refused },
    );
    this.#client.released?.();
  }

  /** Opens the reader first, then creates the request, so that no line is missed. */
  async #create(): Promise<void> {
    const { relay, submitter, config } = this.#deps;
    const prepared = this.#prepared;
    if (!prepared) return;
    this.#prepared = undefined;
    this.#client.charged?.(this.#charge?.headers ?? {});
    if (this.#state.terms.reads) {
      const life = readerLife(this.#meta, config);
      this.#reader = relay.openFresh(this.#meta.id, this.#sink(), life);
    }
    const isWanted = () => this.#state.kind === 'creating' && this.#state.client !== 'sent_away';
    this.#isSent = true;
    const creation = await submitter.create(prepared, this.#charge?.account, isWanted);
    this.#dispatch(this.#eventOf(creation));
    this.#client.released?.();
  }

  #eventOf(creation: Creation): Event {
    if (creation.kind !== 'not_created' && creation.kind !== 'unknown') return creation;
    const { kind, refused, late } = creation;
    this.#late = late;
    return kind === 'unknown' ? { kind, refused } : { kind, refused, sent: late !== undefined };
  }

  #withdraw(): void {
    if (!this.#late) return;
    const [caller] = this.#state.terms.callers;
    this.#deps.submitter.withdraw(this.#meta.id, this.#late, caller);
  }

  /**
   * Makes this ingress one of the request's readers; the hold keeps it subscribed if another reader leaves
   * meanwhile.
   */
  async #join(id: string): Promise<void> {
    const hold = this.#deps.relay.hold(id);
    try {
      const refused = await this.#subscribe(id);
      if (refused) this.#dispatch({ kind: 'not_subscribed', refused });
    } finally {
      hold.release();
    }
  }

  async #subscribe(id: string): Promise<Refused | undefined> {
    const { log, inbox, onError } = this.#deps;
    let described: Described | undefined;
    try {
      described = await within(log.subscribe(id, inbox));
    } catch (error) {
      if (!(error instanceof StoreSilent)) onError(error);
      return refuseFor(error);
    }
    // It has just expired.
    if (!described) return refuse('stream_lost');
    if (this.#state.kind !== 'joining') return undefined;
    const other = this.#client.readerOf?.(id);
    if (other) {
      const { owned, callers } = this.#state.terms;
      other.share(owned, callers);
      this.#dispatch({ kind: 'merged' });
      return undefined;
    }
    const start = startOf(described, this.#after);
    if (start.kind === 'ahead') return refuse('cursor_ahead');
    // A reader that has to begin earlier gets the terminal entry anyway.
    if (start.kind === 'finished' && sameEntryId(this.#from, this.#after))
      this.#from = start.before;
    this.#dispatch({ kind: 'subscribed' });
    return undefined;
  }

  #sink(): ReaderSink {
    const client = this.#client;
    return {
      lines: (batch) => this.#lines(batch),
      hasRoom: () => client.hasRoom?.() !== false,
      describe: () => client.describe?.(),
      reset: (reason) => {
        if (client.reset(reason) === 'lost') this.#dispatch({ kind: 'lost' });
      },
      gone: (reason: GoneReason) => this.#dispatch({ kind: 'gone', reason }),
    };
  }

  #lines(batch: readonly Line[]): boolean {
    const { kind, terms } = this.#state;
    if (kind !== 'attached') {
      this.#dispatch({ kind: 'lines' });
      // The client has a part of another answer.
      if (kind === 'creating' && terms.continues) return true;
    }
    if (!isTerminalLine(batch.at(-1)?.text ?? '')) return this.#client.lines(batch);
    this.#dispatch({ kind: 'terminal' });
    try {
      return this.#client.lines(batch);
    } catch (error) {
      // The exchange is over, so that its relay cannot end it as broken.
      this.#deps.onError(error);
      this.#client.refused(refuseGone('broken'));
      return true;
    }
  }

  #leave({ id, callers, reason }: Effect & { kind: 'leave' }): void {
    const { submitter, keyLimits, onError } = this.#deps;
    const request = { id, keyId: this.#meta.keyId };
    if (callers.length === 0) {
      keyLimits.ended(request);
      submitter.leave(id, reason).catch(onError);
      return;
    }
    // Other callers may wait for the answer.
    keyLimits.readerLeft(id);
    for (const caller of callers) {
      submitter
        .leave(id, reason, caller)
        .then((left) => (left === 'ended' ? keyLimits.ended(request) : undefined))
        .catch(onError);
    }
  }

  /** If Redis does not confirm in time, the request is as safe as after a crash of this ingress. */
  async #detach({ id, owned, callers }: Effect & { kind: 'detach' }): Promise<void> {
    const { submitter, keyLimits, onHandedOver, onError } = this.#deps;
    onHandedOver();
    // The worker that runs the request keeps its lease.
    keyLimits.readerLeft(id);
    let outcome: DetachOutcome | 'unknown' = 'detached';
    if (owned) {
      const [first, ...others] = callers;
      const detaching = [first, ...others].map((caller) => submitter.detach(id, caller));
      try {
        [outcome = 'unknown'] = await within(Promise.all(detaching), handOverMs);
      } catch (error) {
        if (!(error instanceof StoreSilent)) onError(error);
        outcome = 'unknown';
      }
    }
    this.#dispatch({ kind: 'handed_over', outcome });
  }
}
