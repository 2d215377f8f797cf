import type { AttemptMode } from '@millrace/shared/domain/entry';
import { Dispatcher } from 'undici';
import { startAttempt } from '../../apps/worker/src/run/attempt.ts';
import type { Attempt } from '../../apps/worker/src/run/attempt.ts';
import { openAiChat } from '@millrace/formats/openai-chat/provider';
import type { CallOptions } from '../../apps/worker/src/run/port.ts';
import { replyTo } from './provider.ts';
import type { Scenario, Spoken, Upstream } from './scenario.ts';

/** One upstream call, of which the test decides when its next packet comes. */
export type Call = {
  readonly number: number;
  readonly mode: AttemptMode;
  readonly target: { provider: string; model: string };
  readonly whole: Spoken[] | undefined;
  /** Nothing more comes of it, or is wanted. */
  closed: boolean;
  /** It has a packet for who waits. */
  readonly ready: boolean;
  /** The next packets; false when there was none. */
  feed(packets: number): boolean;
};

export const firstTokenTimeoutMs = 1000;
export const idleTimeoutMs = 1000;
/** Of a whole request. */
export const timeoutMs = 60_000;

const well: Upstream = {
  says: 'same',
  turn: 1,
  continues: 'on',
  anchors: 'exact',
  status: undefined,
  slow: false,
  late: undefined,
  deltas: [3],
  packets: [400],
  roleApart: true,
  finishApart: true,
  usage: 'apart',
  thinksAs: 'reasoning_content',
  dressed: 'plain',
};

/** The provider's side of every call: real bytes through the real reader, with no network between. */
export function createUpstreams(scenario: Scenario) {
  const calls: Call[] = [];

  function call(options: CallOptions): Attempt {
    const { target, body, mode, identity, ...rest } = options;
    const number = calls.length;
    const isWell = scenario.healthy && target.provider === `p${scenario.targets.length - 1}`;
    const upstream = (isWell ? undefined : scenario.upstreams[number]) ?? well;
    const asked = { number, mode, body, model: target.model };
    const scripted = script(upstream, replyTo(scenario, upstream, asked), asked, target);
    calls.push(scripted.call);
    return startAttempt({
      dispatcher: scripted.dispatcher,
      format: openAiChat,
      call: {
        body,
        stream: true,
        model: target.model,
        baseUrl: 'http://provider.test/v1',
        apiKey: undefined,
        traceparent: undefined,
        prefill: mode === 'continue',
        identity,
      },
      timeouts: { firstTokenTimeoutMs, idleTimeoutMs },
      maxResponseBytes: 1_000_000,
      ...rest,
    });
  }

  return { calls, call };
}

/** Milliseconds of silence before anything comes. */
const silences = { never: 0, 'at first': firstTokenTimeoutMs + 10, 'for ever': Infinity };

type Packet =
  | { kind: 'head'; status: number; headers: Record<string, string> }
  | { kind: 'data'; bytes: Buffer }
  | { kind: 'end' }
  | { kind: 'error'; code: string };

function script(
  upstream: Upstream,
  reply: ReturnType<typeof replyTo>,
  { number, mode }: { number: number; mode: AttemptMode },
  target: Call['target'],
): { call: Call; dispatcher: Dispatcher } {
  const packets = packetsOf(upstream, reply.bytes, mode);
  const slowUntil = Date.now() + silences[upstream.slow || 'never'];
  let handler: Dispatcher.DispatchHandler | undefined;
  let paused = false;
  const controller: Dispatcher.DispatchController = {
    aborted: false,
    paused: false,
    reason: null,
    abort() {
      call.closed = true;
    },
    pause() {
      paused = true;
    },
    resume() {
      paused = false;
    },
  };

  function next(): boolean {
    const packet = call.ready ? packets.shift() : undefined;
    if (!packet || !handler) return false;
    if (packet.kind === 'head')
      handler.onResponseStart?.(controller, packet.status, packet.headers);
    else if (packet.kind === 'data') handler.onResponseData?.(controller, packet.bytes);
    else {
      call.closed = true;
      if (packet.kind === 'end') handler.onResponseEnd?.(controller, {});
      else handler.onResponseError?.(controller, Object.assign(new Error('broken'), packet));
    }
    return true;
  }

  const call: Call = {
    number,
    mode,
    target,
    whole: packets[0]?.kind === 'head' && packets[0].status === 200 ? reply.whole : undefined,
    closed: false,
    get ready() {
      return !call.closed && !paused && packets.length > 0 && Date.now() >= slowUntil;
    },
    feed(count) {
      let fed = false;
      for (let i = 0; i < count && next(); i++) fed = true;
      return fed;
    },
  };

  class Scripted extends Dispatcher {
    override dispatch(_: Dispatcher.DispatchOptions, given: Dispatcher.DispatchHandler): boolean {
      handler = given;
      given.onRequestStart?.(controller, {});
      return true;
    }
  }
  return { call, dispatcher: new Scripted() };
}

function packetsOf(upstream: Upstream, whole: Buffer, mode: AttemptMode): Packet[] {
  const { status, late } = upstream;
  const refusal = { code: 400, error: 'prefill_not_supported', retryAfterMs: undefined };
  const said =
    status ?? (mode === 'continue' && upstream.continues === 'refuses' ? refusal : undefined);
  if (said === 'unreachable') return [{ kind: 'error', code: 'ECONNREFUSED' }];
  if (said) {
    const error = { message: 'No.', type: 'x', param: null, code: said.error ?? null };
    const after: Record<string, string> =
      said.retryAfterMs === undefined ? {} : { 'retry-after-ms': String(said.retryAfterMs) };
    return [
      {
        kind: 'head',
        status: said.code,
        headers: { 'content-type': 'application/json', ...after },
      },
      { kind: 'data', bytes: Buffer.from(JSON.stringify({ error })) },
      { kind: 'end' },
    ];
  }
  const bytes = late ? whole.subarray(0, Math.floor(late.at * whole.length)) : whole;
  const packets: Packet[] = [
    { kind: 'head', status: 200, headers: { 'content-type': 'text/event-stream' } },
  ];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = upstream.packets[i % upstream.packets.length] ?? 100;
    packets.push({ kind: 'data', bytes: bytes.subarray(at, at + length) });
    at += length;
  }
  const overloaded = '{"error":{"message":"Overloaded","type":"overloaded_error","code":null}}';
  switch (late?.how) {
    case 'reset':
      return [...packets, { kind: 'error', code: 'ECONNRESET' }];
    case 'error':
      return [...packets, { kind: 'data', bytes: Buffer.from(`\n\ndata: ${overloaded}\n\n`) }];
    case 'error event':
      return [
        ...packets,
        { kind: 'data', bytes: Buffer.from(`\n\nevent: error\ndata: ${overloaded}\n\n`) },
      ];
    case 'silent':
      return packets;
    default:
      return [...packets, { kind: 'end' }];
  }
}
