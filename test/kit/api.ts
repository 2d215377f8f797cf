import type { OutgoingHttpHeaders } from 'node:http';
import { expect } from 'vitest';
import type { LoggedRequest, Simulator } from '../../apps/simulator/src/index.ts';
import { call, jsonOf, open } from './http.ts';
import { latenessSince } from './lateness.ts';
import type { Exchange } from './http.ts';

/** A chat completion request. */
export const chat = (model: string, more: Record<string, unknown> = {}) => ({
  model,
  messages: [{ role: 'user', content: 'hello' }],
  ...more,
});

/** Aliases with the same name as the simulated model behind them. */
export const aliases = (...models: string[]): Record<string, string> =>
  Object.fromEntries(models.map((model) => [model, model]));

export const complete = (url: string, body: unknown, headers?: OutgoingHttpHeaders): Exchange =>
  open(`${url}/v1/chat/completions`, { body, ...(headers ? { headers } : {}) });

export const stream = (url: string, model: string, headers?: OutgoingHttpHeaders): Exchange =>
  complete(url, chat(model, { stream: true }), headers);

export type JobView = {
  id: string;
  status: string;
  created_at: number;
  finished_at?: number;
  queue_position?: number;
  attempts: {
    run: number;
    attempt: number;
    provider: string;
    model: string;
    outcome: string;
    first_token_at?: number;
  }[];
  result?: {
    object: string;
    choices: { message: { content: string }; finish_reason: string }[];
  };
  usage?: { completion_tokens: number };
  error?: { message: string; code: string };
  metadata?: unknown;
};

/** Creates a job; returns its id. */
export async function createJob(
  url: string,
  body: unknown,
  more: Record<string, unknown> = {},
): Promise<string> {
  const answer = await call(`${url}/v1/jobs`, {
    body: { endpoint: '/v1/chat/completions', body, ...more },
  });
  expect(answer).toMatchObject({ status: 202 });
  return (jsonOf(answer) as { id: string }).id;
}

export const viewJob = async (url: string, id: string, headers = {}): Promise<JobView> =>
  jsonOf(await call(`${url}/v1/jobs/${id}`, { headers })) as JobView;

export const cancelJob = async (url: string, id: string): Promise<{ id: string; status: string }> =>
  jsonOf(await call(`${url}/v1/jobs/${id}`, { method: 'DELETE' })) as {
    id: string;
    status: string;
  };

type EventsFrom = {
  after?: string | undefined;
  lastEventId?: string | undefined;
  headers?: Record<string, string>;
};

/** Reads a job's events from a cursor on. */
export function readEvents(
  url: string,
  id: string,
  { after, lastEventId, headers }: EventsFrom = {},
): Exchange {
  const target = new URL(`${url}/v1/jobs/${id}/events`);
  if (after !== undefined) target.searchParams.set('after', after);
  return open(target, {
    headers: { ...headers, ...(lastEventId !== undefined && { 'last-event-id': lastEventId }) },
  });
}

/** Milliseconds for which an upstream call may continue after its reader left, on an idle machine. */
export const closedWithinMs = 100;

/** The open call for this model at the provider, once there is one. */
export const upstreamOf = (simulator: Simulator, model: string): Promise<LoggedRequest> =>
  simulator.waitFor((request) => request.model === model && request.state === 'open');

/** Expects that the provider's connection closes soon after the given time, in milliseconds since the epoch. */
export async function expectClosed(
  simulator: Simulator,
  upstream: LoggedRequest,
  since: number,
): Promise<void> {
  const { state, endedAt } = await simulator.waitFor(
    ({ number, state }) => number === upstream.number && state !== 'open',
  );
  expect(state).toBe('aborted by client');
  expect((endedAt ?? Infinity) - since).toBeLessThan(closedWithinMs + latenessSince(since));
}
