import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type HealthOptions = {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Why this process takes no work now; empty: it does. */
  readonly whyNotReady: () => Promise<readonly string[]>;
};

export type HealthServer = { readonly port: number; close(): void };

/** More connections than probes ever need: a client cannot use up the descriptors of the process. */
const mostConnections = 64;

/**
 * `/healthz` and `/readyz` for probes of a process that serves no clients. `/healthz` answers as long as the event loop
 * runs, also during a drain, so that no probe kills a process that lets its streams end. Rejects if the port is taken.
 */
export async function serveHealth(options: HealthOptions): Promise<HealthServer> {
  const { host, port, whyNotReady } = options;

  async function judge(path: string | undefined): Promise<[status: number, body: object]> {
    if (path === '/healthz') return [200, { status: 'ok' }];
    if (path !== '/readyz') return [404, { error: 'only /healthz and /readyz are served here' }];
    const reasons = await whyNotReady();
    const isReady = reasons.length === 0;
    return [isReady ? 200 : 503, { status: isReady ? 'ready' : 'not_ready', reasons }];
  }

  async function answer(path: string | undefined, reply: ServerResponse): Promise<void> {
    const [status, body] = await judge(path);
    // A connection for each probe: none is open when the process ends.
    reply.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
    reply.end(JSON.stringify(body));
  }

  const server = createServer({ requestTimeout: 5000, headersTimeout: 5000 }, (request, reply) => {
    void answer(request.url?.split('?')[0], reply);
  });
  server.maxConnections = mostConnections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: host === 'localhost' ? '127.0.0.1' : host, port }, resolve);
  });
  server.on('error', () => {}); // of accepting a connection: the next probe makes another one
  server.unref();
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
