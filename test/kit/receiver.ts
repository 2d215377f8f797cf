import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

/** A message that a receiver has got and verified. `at`: milliseconds of `performance.now()`. */
export type Message = {
  path: string;
  id: string;
  type: string;
  timestamp: string;
  data: Record<string, unknown>;
  at: number;
};

export type Receiver = {
  readonly url: string;
  /** All messages so far, in their order; a message whose signature is wrong has the type `forged`. */
  readonly messages: Message[];
  /** What a path answers; 204 without it. */
  answer(path: string, how: (response: ServerResponse, message: Message) => void): void;
  /** The messages of a path. */
  at(path: string): Message[];
  close(): Promise<void>;
};

/** A real receiver of webhooks, which verifies each message as the specification says. */
export async function startReceiver(secret: string): Promise<Receiver> {
  const verifier = new Webhook(secret);
  const messages: Message[] = [];
  const answers = new Map<string, (response: ServerResponse, message: Message) => void>();
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const path = request.url ?? '';
      const headers = request.headers as Record<string, string>;
      const message: Message = {
        path,
        id: String(headers['webhook-id']),
        at: performance.now(),
        ...read(Buffer.concat(parts).toString(), headers),
      };
      messages.push(message);
      const answer = answers.get(path);
      if (answer) answer(response, message);
      else response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  function read(body: string, headers: Record<string, string>) {
    try {
      return verifier.verify(body, headers) as Pick<Message, 'type' | 'timestamp' | 'data'>;
    } catch (error) {
      return { type: 'forged', timestamp: '', data: { error: String(error) } };
    }
  }

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    messages,
    answer: (path, how) => answers.set(path, how),
    at: (path) => messages.filter((message) => message.path === path),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
