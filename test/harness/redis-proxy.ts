import { once } from 'node:events';
import { createServer, connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';

/** A way to a Redis that breaks at the worst moment. */
export type RedisProxy = {
  readonly url: string;
  /** The next answer of Redis does not arrive: the connection is closed instead. Resolves then. */
  loseNextAnswer(): Promise<void>;
  /**
   * Resolves as soon as a connection brings a command with this text: from there on, nothing of that
   * connection reaches Redis until `release`.
   */
  holdCommand(text: string): Promise<void>;
  /** The same for an answer of Redis: the command was run, and whoever sent it does not know. */
  holdAnswer(text: string): Promise<void>;
  release(): void;
  close(): Promise<void>;
};

/** One direction of one connection. */
type Way = {
  to: Socket;
  /** The end of what passed, as long as it may be the beginning of the text that is looked for. */
  tail: string;
  /** What is held back; undefined where everything passes. */
  held: Buffer[] | undefined;
};

type Trap = { text: string; sprung(): void };

/** In front of a Redis on a unix socket, on another one in the same folder. */
export async function startRedisProxy(redisUrl: string): Promise<RedisProxy> {
  const behind = redisUrl.replace('unix://', '');
  const path = join(behind, '..', `proxy-${crypto.randomUUID().slice(0, 8)}.sock`);
  const sockets = new Set<Socket>();
  const ways = new Set<Way>();
  const traps: { command?: Trap | undefined; answer?: Trap | undefined } = {};
  let onLost: (() => void) | undefined;

  function pass(way: Way, data: Buffer, kind: 'command' | 'answer'): void {
    const trap = traps[kind];
    if (trap && !way.held) {
      const seen = way.tail + data.toString('latin1');
      way.tail = seen.slice(1 - trap.text.length);
      if (seen.includes(trap.text)) {
        way.held = [];
        traps[kind] = undefined;
        trap.sprung();
      }
    }
    if (way.held) way.held.push(data);
    else way.to.write(data);
  }

  const server = createServer((client) => {
    const redis = connect(behind);
    sockets.add(client).add(redis);
    const there: Way = { to: redis, tail: '', held: undefined };
    const back: Way = { to: client, tail: '', held: undefined };
    ways.add(there).add(back);
    client.on('data', (data) => pass(there, data, 'command'));
    redis.on('data', (data) => {
      if (!onLost) {
        pass(back, data, 'answer');
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
        ways.delete(there);
        ways.delete(back);
        other.destroy();
      });
    }
  });
  server.listen(path);
  await once(server, 'listening');

  const hold = (kind: 'command' | 'answer', text: string): Promise<void> =>
    new Promise((resolve) => {
      traps[kind] = { text, sprung: resolve };
    });

  return {
    url: `unix://${path}`,
    loseNextAnswer: () =>
      new Promise((resolve) => {
        onLost = resolve;
      }),
    holdCommand: (text) => hold('command', text),
    holdAnswer: (text) => hold('answer', text),
    release() {
      for (const way of ways) {
        for (const data of way.held ?? []) way.to.write(data);
        way.held = undefined;
        way.tail = '';
      }
    },
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
