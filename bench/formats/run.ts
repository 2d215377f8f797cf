import { request } from 'node:http';
import { cpuBetween, readCpu } from '../../test/kit/proc.ts';
import { startFleet } from '../../test/kit/fleet.ts';
import type { Fleet } from '../../test/kit/fleet.ts';

/** The wire formats, as clients and as providers have them. */
export const FORMATS = ['chat', 'messages', 'responses', 'gemini'] as const;
export type Format = (typeof FORMATS)[number];

export interface Pair {
  client: Format;
  provider: Format;
}

export interface PairCosts extends Pair {
  /** Microseconds of CPU for each chunk of the answers. */
  ingress: number;
  worker: number;
  redis: number;
  /** Streams without their end. */
  wrong: number;
}

/** Every client over a provider of its own format, of chat completions, and chat completions over every provider. */
export const PAIRS: readonly Pair[] = FORMATS.flatMap((client) =>
  FORMATS.filter((provider) => provider === client || provider === 'chat' || client === 'chat').map(
    (provider) => ({ client, provider }),
  ),
);

const TOKENS = 200;
const PACE_MS = 20;
const STREAMS = 60;

const PROVIDERS: Record<Format, string> = {
  chat: 'primary',
  messages: 'primary-anthropic',
  responses: 'primary-responses',
  gemini: 'primary-gemini',
};

/** Each pair in turn in every round, with 60 streams of 200 chunks at 50 a second. Rejects if the fleet does not start. */
export async function runFormats(
  { rounds, quick }: { rounds: number; quick: boolean },
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<PairCosts[][]> {
  const model = `healthy:tokens=${quick ? 20 : TOKENS},pace=${PACE_MS}`;
  const fleet = await startFleet({
    models: Object.fromEntries(
      FORMATS.map((format) => [format, { targets: [{ provider: PROVIDERS[format], model }] }]),
    ),
  });
  try {
    const tokens = quick ? 20 : TOKENS;
    // Not counted, for the JIT.
    for (const pair of PAIRS) await measure(fleet, pair, tokens, quick ? 5 : STREAMS / 2);
    const done: PairCosts[][] = [];
    for (let round = 1; round <= rounds; round++) {
      const costs: PairCosts[] = [];
      for (const pair of PAIRS) {
        signal.throwIfAborted();
        onProgress(`formats, round ${round} of ${rounds}: ${pair.client} over ${pair.provider}`);
        costs.push(await measure(fleet, pair, tokens, quick ? 5 : STREAMS));
      }
      done.push(costs);
    }
    return done;
  } finally {
    await fleet.close();
  }
}

async function measure(
  fleet: Fleet,
  pair: Pair,
  tokens: number,
  streams: number,
): Promise<PairCosts> {
  // The providers and the clients are in this process.
  const before = await readCpu(process.pid);
  const ends = await Promise.all(Array.from({ length: streams }, () => stream(fleet.url, pair)));
  const used = cpuBetween(before, await readCpu(process.pid));
  const micros = (role: string) => ((used[role] ?? 0) * 1e6) / (streams * tokens);
  return {
    ...pair,
    ingress: micros('ingress'),
    worker: micros('worker'),
    redis: micros('redis'),
    wrong: ends.filter((isWhole) => !isWhole).length,
  };
}

type Call = { path: string; body: object; end: string };

/** How a client of each format asks for a stream, and what its end has. */
const CALLS: Record<Format, (model: string) => Call> = {
  chat: (model) => ({
    path: '/v1/chat/completions',
    body: { model, stream: true, messages: [{ role: 'user', content: 'hello' }] },
    end: '[DONE]',
  }),
  messages: (model) => ({
    path: '/v1/messages',
    body: {
      model,
      stream: true,
      max_tokens: 1_000,
      messages: [{ role: 'user', content: 'hello' }],
    },
    end: 'message_stop',
  }),
  responses: (model) => ({
    path: '/v1/responses',
    body: { model, stream: true, input: 'hello' },
    end: 'response.completed',
  }),
  gemini: (model) => ({
    path: `/v1beta/models/${model}:streamGenerateContent?alt=sse`,
    body: { contents: [{ role: 'user', parts: [{ text: 'hello' }] }] },
    end: 'finishReason',
  }),
};

/** Whether the stream came to its end. */
function stream(url: string, { client, provider }: Pair): Promise<boolean> {
  const { path, body, end } = CALLS[client](provider);
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const sent = request(`${url}${path}`, { method: 'POST', headers }, (response) => {
      let tail = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => (tail = (tail + text).slice(-64 * 1024)));
      response.on('end', () => resolve(response.statusCode === 200 && tail.includes(end)));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(JSON.stringify(body));
  });
}
