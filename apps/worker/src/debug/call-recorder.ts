import { namesSecret } from '@millrace/formats/additions';
import { maxRecordBytes } from '@millrace/shared/domain/debug-record';
import type { Target } from '@millrace/shared/domain/request';
import type { Bound } from '@millrace/shared/runtime/bounds';
import type { RawRecord } from '@millrace/shared/store/debug-log/framing';
import type { RecordShipper } from '@millrace/shared/store/debug-log/redis-debug-log';
import type { Dispatcher } from 'undici';
import type { AttemptOutcome } from '../run/attempt.ts';
import { formsOf, isSecret } from '../run/redaction.ts';
import type { Upstream } from '../upstream/call.ts';

/** What is recorded of whose call. */
export type RecordedCall = {
  request: string;
  key: string | undefined;
  model: string;
  target: Target;
  /** The provider's key and the like, which are overwritten where they appear whole: plain, in base64 or in hex. */
  secrets: readonly string[];
};

export type CallRecorder = {
  /** The same upstream, with the call recorded. */
  upstream: Upstream;
  /** Sends the record to the debug log. */
  ended(outcome: AttemptOutcome): void;
};

export type DebugLog = {
  /** Undefined: too much is held already, and the record is counted as dropped. */
  record(call: RecordedCall, upstream: Upstream): CallRecorder | undefined;
  /** Bytes of records under way. */
  readonly held: number;
};

/** Bytes of all records under way in this process. */
export const maxHeldBytes = 16 * 1024 * 1024;

/** Bytes of a request that are recorded: its answer always finds the other half of the record. */
export const maxSentBytes = maxRecordBytes / 2;

/** Bytes of memory of a piece of an answer beyond its own: 154, measured with Node 24. They count as held. */
export const pieceOverheadBytes = 160;

/** `dropped`: records that were not sent, since the start. */
export const heldRecords = (
  log: Pick<DebugLog, 'held'>,
  counts: RecordShipper['counts'],
): Bound => ({
  what: 'debug_records',
  unit: 'bytes',
  limit: 'maxHeldBytes',
  max: maxHeldBytes,
  read: () => log.held,
  dropped: () => counts.dropped,
});

export type DebugLogOptions = {
  shipper: Pick<RecordShipper, 'ship' | 'dropped'>;
  worker: string;
  now?(): number;
};

/** Records calls in memory, and sends each record when its call has ended. Nothing of a request waits for it. */
export function createDebugLog({ shipper, worker, now = Date.now }: DebugLogOptions): DebugLog {
  const memory = { held: 0 };
  return {
    record(call, upstream) {
      if (memory.held >= maxHeldBytes) {
        shipper.dropped();
        return undefined;
      }
      const recording = new Recording(call, memory, now);
      return {
        upstream: {
          dispatch: (options, handler) =>
            upstream.dispatch(options, recording.watch(options, handler)),
        },
        ended(outcome) {
          void shipper.ship(() => recording.record(worker, outcome));
          recording.free();
        },
      };
    },
    get held() {
      return memory.held;
    },
  };
}

type Head = { status: number; ms: number; headers: Record<string, string> };

class Recording {
  private readonly call: RecordedCall;
  /** What is overwritten. */
  private readonly secrets: readonly string[];
  private readonly memory: { held: number };
  private readonly now: () => number;
  private readonly startedAt: number;
  private sent: { path: string; headers: Record<string, string> } = { path: '', headers: {} };
  private body: Buffer = Buffer.alloc(0);
  private head: Head | undefined;
  private pieces: { ms: number; bytes: Buffer }[] = [];
  private held = 0;
  private omitted = 0;
  private isOver = false;

  constructor(call: RecordedCall, memory: { held: number }, now: () => number) {
    this.call = call;
    this.secrets = secretsOf(call.secrets);
    this.memory = memory;
    this.now = now;
    this.startedAt = now();
  }

  watch(
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
  ): Dispatcher.DispatchHandler {
    if (Buffer.isBuffer(options.body)) this.body = this.keep(options.body, 0, maxSentBytes);
    const headers = this.shown((options.headers ?? {}) as Record<string, unknown>);
    this.sent = { path: shownPath(options.path), headers };
    return {
      onRequestStart: (...args) => handler.onRequestStart?.(...args),
      onRequestUpgrade: (...args) => handler.onRequestUpgrade?.(...args),
      onResponseStart: (controller, status, headers, message) => {
        if (status >= 200) {
          this.head ??= { status, ms: this.ms, headers: this.shown(headers) };
        }
        handler.onResponseStart?.(controller, status, headers, message);
      },
      onResponseData: (controller, bytes) => {
        if (!this.isOver) this.keepPiece(bytes);
        handler.onResponseData?.(controller, bytes);
      },
      onResponseEnd: (...args) => handler.onResponseEnd?.(...args),
      onResponseError: (...args) => handler.onResponseError?.(...args),
    };
  }

  record(worker: string, outcome: AttemptOutcome): RawRecord {
    const { request, key, model, target } = this.call;
    const { body, head, pieces } = this;
    const bytes = Buffer.concat([body, ...pieces.map((piece) => piece.bytes)]);
    return {
      head: {
        id: crypto.randomUUID(),
        request,
        key: key ?? null,
        model,
        provider: target.provider,
        target_model: target.model,
        worker,
        started_at: this.startedAt,
        ended_at: this.now(),
        outcome: outcome.kind === 'fault' ? outcome.fault.code : outcome.kind,
        sent: { ...this.sent, bytes: body.length },
        ...(head && {
          answer: {
            status: head.status,
            head_ms: head.ms,
            headers: head.headers,
            pieces: pieces.map((piece) => [piece.ms, piece.bytes.length] as const),
          },
        }),
        omitted_bytes: this.omitted,
      },
      // A key may be spread over several pieces.
      bytes: overwritten(bytes, this.secrets),
    };
  }

  free(): void {
    this.isOver = true;
    this.memory.held -= this.held;
    this.held = 0;
    this.pieces = [];
  }

  private get ms(): number {
    return this.now() - this.startedAt;
  }

  private shown(headers: Readonly<Record<string, unknown>>): Record<string, string> {
    return shownHeaders(headers, this.secrets);
  }

  private keepPiece(bytes: Buffer): void {
    const kept = this.keep(bytes, pieceOverheadBytes, maxRecordBytes);
    if (kept.length > 0) this.pieces.push({ ms: this.ms, bytes: kept });
  }

  /** A copy of what has room: the buffers of a connection are slices of larger ones. */
  private keep(bytes: Buffer, overhead: number, most: number): Buffer {
    const room = Math.min(most - this.held, maxHeldBytes - this.memory.held) - overhead;
    const kept = Buffer.from(bytes.subarray(0, Math.max(0, room)));
    this.omitted += bytes.length - kept.length;
    if (kept.length === 0) return kept;
    this.held += kept.length + overhead;
    this.memory.held += kept.length + overhead;
    return kept;
  }
}

const hidden = '(not shown)';

function shownHeaders(
  headers: Readonly<Record<string, unknown>>,
  secrets: readonly string[],
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      namesSecret(name) ? hidden : withoutSecrets(String(value), secrets),
    ]),
  );
}

/** Without the values of query parameters that may be a secret. */
const shownPath = (path: string): string =>
  path.replace(/(?<=[?&])([^=&]+)=[^&]*/g, (pair, name: string) =>
    namesSecret(name) ? `${name}=${hidden}` : pair,
  );

const withoutSecrets = (text: string, secrets: readonly string[]): string =>
  secrets.reduce((shown, secret) => shown.replaceAll(secret, '*'.repeat(secret.length)), text);

/** None for a placeholder such as `none`, which is an ordinary word of bodies. */
const secretsOf = (secrets: readonly string[]): string[] =>
  secrets.filter(isSecret).flatMap(formsOf);

/** Overwrites the secrets in place, so that the places of all other bytes stay. */
function overwritten(bytes: Buffer, secrets: readonly string[]): Buffer {
  for (const secret of secrets.map((one) => Buffer.from(one))) {
    for (let at = bytes.indexOf(secret); at >= 0; at = bytes.indexOf(secret, at + secret.length)) {
      bytes.fill('*', at, at + secret.length);
    }
  }
  return bytes;
}
