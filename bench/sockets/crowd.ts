import { once } from 'node:events';
import WebSocket from 'ws';
import { Samples } from '../load/samples.ts';
import type { Summary } from '../load/samples.ts';

/* Many WebSockets of one process. */

/** Client ports of one local address: fewer than the system's range has. */
const PER_ADDRESS = 6_000;
/** Concurrent handshakes. */
const AT_ONCE = 100;

export interface Crowd {
  sockets: WebSocket[];
  close(): Promise<void>;
}

/** Rejects when one cannot be opened. */
export async function openCrowd(
  origin: string,
  count: number,
  signal: AbortSignal,
): Promise<Crowd> {
  const sockets: WebSocket[] = [];
  const url = `${origin.replace('http', 'ws')}/v1/ws`;
  const close = async (): Promise<void> => {
    const open = sockets.filter(({ readyState }) => readyState !== WebSocket.CLOSED);
    await Promise.all(
      open.map((socket) => {
        const closed = once(socket, 'close');
        socket.terminate();
        return closed;
      }),
    );
  };
  async function open(index: number): Promise<void> {
    const localAddress = `127.0.0.${2 + Math.floor(index / PER_ADDRESS)}`;
    const socket = new WebSocket(url, { localAddress, perMessageDeflate: false });
    sockets.push(socket);
    await once(socket, 'open', { signal });
    socket.on('error', () => {});
  }
  try {
    for (let at = 0; at < count; at += AT_ONCE) {
      const batch = Array.from({ length: Math.min(AT_ONCE, count - at) }, (_, i) => at + i);
      await Promise.all(batch.map(open));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { sockets, close };
}

export interface StreamsResult {
  whole: number;
  /** One line of text for each incomplete stream. */
  wrong: string[];
  /** Milliseconds between two tokens of a stream. */
  gaps: Summary;
}

interface Frame {
  type: string;
  data?: { choices?: { delta?: { content?: string } }[]; error?: unknown };
  error?: unknown;
}

/** Runs a stream on each of these sockets, started within `rampMs`, and compares every token. */
export async function streamOn(
  sockets: readonly WebSocket[],
  options: { model: string; tokens: readonly string[]; rampMs: number; patienceMs: number },
): Promise<StreamsResult> {
  const { model, tokens, rampMs, patienceMs } = options;
  const gaps = new Samples();
  const body = { model, stream: true, messages: [{ role: 'user', content: 'Count, please.' }] };
  const create = JSON.stringify({ type: 'create', body });

  async function one(socket: WebSocket, index: number): Promise<string | undefined> {
    await new Promise((resolve) => setTimeout(resolve, (index * rampMs) / sockets.length));
    let count = 0;
    let at = 0;
    const outcome = new Promise<string | undefined>((resolve) => {
      const late = setTimeout(
        () => resolve(`${count} of ${tokens.length} tokens in time`),
        patienceMs,
      );
      const end = (fault?: string): void => {
        clearTimeout(late);
        resolve(fault);
      };
      socket.on('close', (code) => end(`closed with ${code} after ${count} tokens`));
      socket.on('message', (bytes: Buffer) => {
        const { type, data, error } = JSON.parse(bytes.toString()) as Frame;
        if (type === 'done') end(count === tokens.length ? undefined : `${count} tokens`);
        if (type === 'failed' || type === 'error') end(JSON.stringify(error ?? data));
        const content = type === 'chunk' ? data?.choices?.[0]?.delta?.content : undefined;
        if (!content) return;
        const now = performance.now();
        if (count > 0) gaps.add(now - at);
        at = now;
        if (content !== tokens[count]) end(`token ${count} is ${JSON.stringify(content)}`);
        count += 1;
      });
    });
    socket.send(create);
    return outcome;
  }

  const outcomes = await Promise.all(sockets.map(one));
  for (const socket of sockets) socket.removeAllListeners('message').removeAllListeners('close');
  const wrong = outcomes.filter((fault) => fault !== undefined);
  return { whole: outcomes.length - wrong.length, wrong, gaps: gaps.summary() };
}
