import { once } from 'node:events';
import { createServer, connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';

/** A way to a Redis that can be cut at the worst moment: the command was run, its answer is lost. */
export type CutProxy = {
  readonly url: string;
  /** The next answer of Redis does not arrive: the connection is closed instead. Resolves then. */
  loseNextAnswer(): Promise<void>;
  close(): Promise<void>;
};

/** In front of a Redis on a unix socket, on another one in the same folder. */
export async function startCutProxy(redisUrl: string): Promise<CutProxy> {
  const behind = redisUrl.replace('unix://', '');
  const path = join(behind, '..', `cut-${crypto.randomUUID().slice(0, 8)}.sock`);
  const sockets = new Set<Socket>();
  let onLost: (() => void) | undefined;

  const server = createServer((client) => {
    const redis = connect(behind);
    sockets.add(client).add(redis);
    client.pipe(redis);
    redis.on('data', (data) => {
      if (!onLost) {
        client.write(data);
        return;
      }
      client.destroy();
      redis.destroy();
      onLost();
      onLost = undefined;
    });
    for (const [socket, other] of [
      [client, redis],
      [redis, client],
    ] as const) {
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  server.listen(path);
  await once(server, 'listening');

  return {
    url: `unix://${path}`,
    loseNextAnswer: () =>
      new Promise((resolve) => {
        onLost = resolve;
      }),
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
