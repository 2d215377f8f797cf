import { setTimeout as sleep } from 'node:timers/promises';
import type { Stage, Verdict } from './case.ts';
import { send } from '../test/kit/exchange.ts';
import type { Arrival, Ended, Exchange } from '../test/kit/exchange.ts';
import {
  difference,
  isTerminal,
  longestGap,
  readAnswer,
  storyOf,
  textOf,
} from '../test/kit/reading.ts';
import { completionsOf, question } from './rig.ts';
import { rescued } from './scenario.ts';
import { sendFrame } from './socket.ts';

/** The outcome of a reader that reconnects. */
export type ReaderTold = {
  verdict: Verdict;
  reason: string;
  /** How often it reconnected. */
  resumed: number;
  longestGapMs: number;
};

export type Reader = {
  /** Resolves when its first connection has had `events` events, or has ended. */
  count(events: number): Promise<void>;
  readonly told: Promise<ReaderTold>;
};

export type ReaderOptions = {
  /**
   * `plain`: POST /v1/chat/completions, kept while it is disconnected. `owned`: the same, but its leaving
   * ends the request. `job`: the events of a job. `socket`: a request of a WebSocket, which ends with its
   * socket.
   */
  kind: 'plain' | 'owned' | 'job' | 'socket';
  alias: string;
  marker: string;
  text: string;
  /** The URL for the first connection (0), and for each later one. */
  urls(attempt: number): string;
  stage: Stage;
};

const mostResumes = 20;
/** Milliseconds before a reader without a connection tries the next one. */
const refusedMs = 100;

/** A reader of Millrace that reconnects with its cursor until it has seen the end. */
export async function startReader(options: ReaderOptions): Promise<Reader> {
  const { kind, alias, marker, urls, stage } = options;
  const { patienceMs, signal } = stage;
  const wanted = question(alias, marker, { stream: true });
  if (kind === 'socket') {
    const frame = { type: 'create', body: wanted };
    const first = sendFrame(urls(0), frame, { patienceMs, signal });
    return { count: first.count, told: follow(first, () => first.id ?? '', options) };
  }
  if (kind === 'plain' || kind === 'owned') {
    const onDisconnect = kind === 'plain' ? 'keep' : 'cancel';
    const headers = { 'x-millrace-on-disconnect': onDisconnect, 'x-millrace-event-ids': 'on' };
    const first = send(completionsOf(urls(0)), { body: wanted, headers, patienceMs, signal });
    const id = () => String(first.headers['x-request-id']);
    return { count: first.count, told: follow(first, id, options) };
  }
  const body = { endpoint: '/v1/chat/completions', body: wanted };
  const created = await send(`${urls(0)}/v1/jobs`, { body, patienceMs, signal }).ended;
  const { id } = JSON.parse(created.text || '{}') as { id?: string };
  if (created.status !== 202 || id === undefined) {
    const reason = `no job: ${created.how} ${created.status} ${created.text}`;
    const told = { verdict: 'fail' as const, reason, resumed: 0, longestGapMs: 0 };
    return { count: () => Promise.resolve(), told: Promise.resolve(told) };
  }
  const first = send(`${urls(0)}/v1/jobs/${id}/events`, { patienceMs, signal });
  return { count: first.count, told: follow(first, () => id, options) };
}

async function follow(
  first: Pick<Exchange, 'ended'>,
  idOf: () => string,
  { kind, text, urls, stage: { patienceMs, signal } }: ReaderOptions,
): Promise<ReaderTold> {
  const connections: Ended[] = [];
  let current = await first.ended;
  connections.push(current);
  let resumed = 0;
  while (!isOver(current) && resumed < mostResumes && !signal.aborted) {
    resumed += 1;
    const after = connections
      .flatMap(({ events }) => events)
      .findLast(({ id }) => id !== undefined)?.id;
    current = await resume(kind, urls(resumed), idOf(), after, { patienceMs, signal }).ended;
    connections.push(current);
    if (current.how === 'hang') break;
    // If a server is gone, another one is tried; not in a tight loop.
    if (current.how === 'refused') await sleep(refusedMs);
  }
  const events = connections.flatMap((one) => one.events);
  const seen = { resumed, longestGapMs: longestGap(events.filter(hasText).map(({ at }) => at)) };
  const isPlain = kind === 'plain' || kind === 'owned';
  const wrong = isPlain ? wrongFarewell(connections[0], idOf()) : undefined;
  const isWhole = isPlain && resumed === 0;
  return {
    ...seen,
    ...(isWhole ? rescued(readAnswer(current), text) : judge(events, current, text)),
    ...(wrong === undefined ? {} : { verdict: 'fail' as const, reason: wrong }),
  };
}

function resume(
  kind: ReaderOptions['kind'],
  url: string,
  id: string,
  after: string | undefined,
  options: Pick<Stage, 'patienceMs' | 'signal'>,
): Pick<Exchange, 'ended'> {
  if (kind === 'socket') return sendFrame(url, { type: 'subscribe', id, after }, options);
  const events = new URL(`${url}/v1/jobs/${id}/events`);
  if (after !== undefined) events.searchParams.set('after', after);
  return send(events.href, options);
}

/** A stopping ingress must tell a plain reader exactly once, as the last event, where its answer is. */
export function wrongFarewell(first: Ended | undefined, id: string): string | undefined {
  const errors = (first?.events ?? []).filter(({ data }) => data.startsWith('{"error"'));
  const moved = errors.filter(({ data }) => isMoved(data));
  if (moved.length === 0) return undefined;
  if (errors.length > 1) return `${errors.length} errors on one connection`;
  const { error } = JSON.parse(moved[0]?.data ?? '') as { error: { request_id?: string } };
  return error.request_id === id ? undefined : `the error names ${error.request_id}, not ${id}`;
}

/** Whether a terminal event arrived, or a response that is no stream. */
const isOver = ({ events, how, status }: Ended): boolean =>
  how === 'hang' ||
  status >= 400 ||
  events.some(({ event, data }) => isTerminal(event) || data === '[DONE]' || isError(data));

const isError = (data: string): boolean => data.startsWith('{"error"') && !isMoved(data);

/** Whether an event reports a stopping ingress, which is not the request's end. */
const isMoved = (data: string): boolean => data.includes('"server_draining"');

const hasText = ({ event, data }: Arrival): boolean => isChunk(event) && textOf(data) !== '';

const isChunk = (event: string): boolean => event === 'message' || event === 'chunk';

/** Judges the joined events of all connections. */
function judge(
  events: readonly Arrival[],
  last: Ended,
  text: string,
): { verdict: Verdict; reason: string } {
  const fail = (reason: string) => ({ verdict: 'fail' as const, reason });
  const ids = events.flatMap(({ id }) => id ?? []);
  if (new Set(ids).size < ids.length) return fail('an entry came twice');
  const wrong = difference(storyOf(events).text, text);
  const end = events.at(-1);
  if (end?.event === 'failed') return { verdict: 'safe', reason: end.data };
  if (end?.event !== 'done') {
    const seen = `${last.how}, ${last.status}, last event ${end?.event}`;
    return fail(`no end: ${seen} ${last.text.slice(0, 200)}`);
  }
  return wrong === undefined ? { verdict: 'pass', reason: '' } : fail(wrong);
}
