/*
 * Does not use the reader of test/kit: thousands of requests a second run beside the system on the same
 * cores, over connections that are kept alive.
 */

import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { expectedText } from '../../apps/simulator/src/index.ts';

/** The outcome of one request; milliseconds from its sending. */
export interface Asked {
  status: number;
  /** Time to the head; a stream's head comes with its first token. */
  headMs: number;
  totalMs: number;
  /** The answer was complete, or the refusal had a time to retry. */
  right: boolean;
  /** When it ended, by this process' clock. */
  endedAt: number;
}

export interface Target {
  url: string;
  key?: string;
  model: string;
  tokens: number;
}

/** As many connections as requests, so that none waits for another one. */
const agent = new Agent({ keepAlive: true, maxSockets: Infinity });

/** One stream, to its end. A lost connection is status 0. */
export function ask({ url, key, model, tokens }: Target): Promise<Asked> {
  const body = JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'x' }] });
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${key ?? 'none'}` };
  const sentAt = performance.now();
  return new Promise((resolve) => {
    const lost = () => {
      const endedAt = performance.now();
      resolve({ status: 0, headMs: NaN, totalMs: endedAt - sentAt, right: false, endedAt });
    };
    const sent = request(`${url}/v1/chat/completions`, { method: 'POST', agent, headers });
    sent.on('response', (response) => {
      const headMs = performance.now() - sentAt;
      const { statusCode: status = 0, headers: answered } = response;
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('error', lost).on('end', () => {
        const endedAt = performance.now();
        const right =
          status === 200 ? isWhole(text, tokens) : Number(answered['retry-after'] ?? 0) > 0;
        resolve({ status, headMs, totalMs: endedAt - sentAt, right, endedAt });
      });
    });
    sent.on('error', lost).end(body);
  });
}

function isWhole(text: string, tokens: number): boolean {
  let shown = '';
  for (const line of text.split('\n')) {
    if (!line.startsWith('data: {')) continue;
    const chunk = JSON.parse(line.slice(6)) as { choices?: { delta?: { content?: string } }[] };
    shown += chunk.choices?.[0]?.delta?.content ?? '';
  }
  return shown === expectedText({ tokens }) && text.trimEnd().endsWith('data: [DONE]');
}

/** Sends `perSecond` requests a second for `ms` milliseconds, whatever the answers. Ends with the last answer. */
export async function openLoop(target: Target, perSecond: number, ms: number): Promise<Asked[]> {
  const startedAt = performance.now();
  const asked: Promise<Asked>[] = [];
  for (let elapsed = 0; elapsed < ms; elapsed = performance.now() - startedAt) {
    const due = Math.ceil((elapsed / 1_000) * perSecond);
    while (asked.length < due) asked.push(ask(target));
    await sleep(1);
  }
  return Promise.all(asked);
}

/** Sends as fast as answers arrive, `size` at a time; returns what arrived within the time. */
export async function closedLoop(target: Target, size: number, ms: number): Promise<Asked[]> {
  const until = performance.now() + ms;
  const asked: Asked[] = [];
  const user = async (): Promise<void> => {
    while (performance.now() < until) asked.push(await ask(target));
  };
  await Promise.all(Array.from({ length: size }, user));
  return asked;
}

export const hangUp = (): void => agent.destroy();
