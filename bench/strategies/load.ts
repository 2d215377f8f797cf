/*
 * Does not use the reader of test/kit: connections are kept alive, so that the time to the first token is the
 * target's and not that of a new connection.
 */

import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** The outcome of one request. */
export interface Served {
  /** The provider that answered; empty if none did. */
  by: string;
  firstTokenMs: number;
}

export interface Load {
  url: string;
  model: string;
  requests: number;
  /** Average requests a second: they arrive at random, whether or not earlier ones have ended. */
  rate: number;
  /** Service times of the targets in milliseconds; each is equally frequent. */
  serviceMs: readonly number[];
  seed: number;
}

/** Rejects if a request fails: none should. */
export async function offer(load: Load, signal: AbortSignal): Promise<Served[]> {
  const { requests, rate, serviceMs, seed } = load;
  const random = generator(seed);
  const agent = new Agent({ keepAlive: true });
  const served: Promise<Served>[] = [];
  let due = performance.now();
  try {
    for (let i = 0; i < requests; i++) {
      due += (-Math.log(1 - random()) * 1_000) / rate;
      const takes = serviceMs[Math.floor(random() * serviceMs.length)] ?? 0;
      await sleep(Math.max(0, due - performance.now()), undefined, { signal });
      const one = ask(load, takes, agent);
      // It is awaited below; a failure before that must not count as unhandled.
      one.catch(() => {});
      served.push(one);
    }
    return await Promise.all(served);
  } finally {
    agent.destroy();
  }
}

function ask({ url, model }: Load, takes: number, agent: Agent): Promise<Served> {
  return new Promise((resolve, reject) => {
    const sentAt = performance.now();
    const outgoing = request(`${url}/v1/chat/completions`, {
      method: 'POST',
      agent,
      headers: { 'content-type': 'application/json' },
    });
    outgoing.on('response', (response) => {
      let text = '';
      let firstTokenMs: number | undefined;
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
        if (text.includes('"content"')) firstTokenMs ??= performance.now() - sentAt;
      });
      response.on('error', reject);
      response.on('end', () => {
        const by = String(response.headers['x-millrace-served-by'] ?? '').split('/')[0] ?? '';
        if (firstTokenMs !== undefined && text.includes('[DONE]')) resolve({ by, firstTokenMs });
        else reject(new Error(`status ${response.statusCode}: ${text.slice(0, 200)}`));
      });
    });
    outgoing.on('error', reject);
    const messages = [{ role: 'user', content: 'hello' }];
    outgoing.end(JSON.stringify({ model, messages, stream: true, max_tokens: takes }));
  });
}

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
