import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Billing } from './provider.ts';
import type { Message, Plan, ProviderSpec } from './provider.ts';

/*
 * Runs in a separate process: the first message has the providers by name, the reply their ports in this order. Each later
 * message asks for the bills so far.
 */

const billings: Billing[] = [];

process.once('message', (specs: Record<string, ProviderSpec>) => void start(specs));

async function start(specs: Record<string, ProviderSpec>): Promise<void> {
  const ports = await Promise.all(Object.entries(specs).map(([name, spec]) => serve(name, spec)));
  process.on('message', () => process.send?.({ bills: billings.map(({ bill }) => bill) }));
  process.send?.({ ports });
}

process.once('disconnect', () => process.exit());
process.on('SIGINT', () => {});

/** Milliseconds between two pieces of an answer, each of `PIECE` words. */
const PACE_MS = 2;
const PIECE = 10;

async function serve(name: string, spec: ProviderSpec): Promise<number> {
  const billing = new Billing(name, spec);
  billings.push(billing);
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (part: string) => (text += part));
    request.on('end', () => {
      if (request.method !== 'POST') {
        response.end('{"object":"list","data":[]}');
        return;
      }
      const { user, messages } = JSON.parse(text) as { user: string; messages: Message[] };
      const plan = billing.plan(user, messages);
      answer(response, plan, spec, billing).catch(() => response.destroy());
    });
  });
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 1_024, resolve));
  return (server.address() as AddressInfo).port;
}

async function answer(
  response: ServerResponse,
  plan: Plan,
  { firstTokenMs }: ProviderSpec,
  billing: Billing,
): Promise<void> {
  if (plan.kind === 'error') {
    const error = { message: 'The server had an error.', type: 'server_error', code: null };
    response.writeHead(500, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error }));
    return;
  }
  const { words, isCut, input, cached } = plan;
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  await sleep(firstTokenMs);
  let sent = 0;
  while (sent < words.length && !response.destroyed) {
    const piece = words.slice(sent, sent + PIECE);
    response.write(event({ choices: [choiceOf({ content: `${piece.join(' ')} ` }, null)] }));
    sent += piece.length;
    await sleep(PACE_MS);
  }
  // What was made is billed, whether or not the client has it.
  billing.charge(input, cached, sent);
  if (isCut) {
    response.destroy();
    return;
  }
  const usage = {
    prompt_tokens: input,
    completion_tokens: sent,
    total_tokens: input + sent,
    prompt_tokens_details: { cached_tokens: cached },
  };
  response.write(event({ choices: [choiceOf({}, 'stop')] }));
  response.write(event({ choices: [], usage }));
  response.end('data: [DONE]\n\n');
}

const choiceOf = (delta: object, finish_reason: string | null): object => {
  return { index: 0, delta, finish_reason };
};

const event = (more: object): string =>
  `data: ${JSON.stringify({ id: 'b', object: 'chat.completion.chunk', created: 1, model: 'm', ...more })}\n\n`;
