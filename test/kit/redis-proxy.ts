import { once } from 'node:events';
import { createServer, connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';

/** A proxy in front of a Redis that can break, or block, at a chosen moment. */
export type RedisProxy = {
  readonly url: string;
  /** Drops the next reply of Redis that contains this text, by closing the connection. Resolves then. */
  loseAnswer(text?: string): Promise<void>;
  /**
   * Holds the first command that contains this text, and everything after it on its connection, until
   * `release`. Resolves when that command has arrived. Works also on a connection that is held already.
   */
  holdCommand(text: string, times?: number): Promise<void>;
  /** The same for the reply to such a command: Redis has executed it, and its sender does not get the reply. */
  holdAnswerTo(text: string): Promise<void>;
  /** Holds the first reply with this text, and everything after it on the same connection. */
  holdAnswerWith(text: string): Promise<void>;
  release(): void;
  /** Ends every connection, and every new one, until `mend`: the same Redis, temporarily unreachable. */
  cut(): void;
  mend(): void;
  /** Releases and mends, and waits for no text any more: behind a test, also where it failed. */
  reset(): void;
  close(): Promise<void>;
};

type Trap = { text: string; times: number; holds: 'command' | 'answer'; sprung(): void };

type Connection = {
  client: Socket;
  redis: Socket;
  /** The end of the data so far that may be the beginning of the searched text. */
  tail: string;
  held: { way: 'command' | 'answer'; data: Buffer[]; first(): void } | undefined;
};

/** Starts it in front of a Redis on a unix socket, on another socket in the same folder. */
export async function startRedisProxy(redisUrl: string): Promise<RedisProxy> {
  const behind = redisUrl.replace('unix://', '');
  const path = join(behind, '..', `proxy-${crypto.randomUUID().slice(0, 8)}.sock`);
  const connections = new Set<Connection>();
  let toLose: { text: string; lost(): void } | undefined;
  let toHold: { text: string; sprung(): void } | undefined;
  let trap: Trap | undefined;
  let isCut = false;

  function onCommand(connection: Connection, data: Buffer): void {
    if (trap && (!connection.held || trap.holds === connection.held.way)) {
      const seen = connection.tail + data.toString('latin1');
      connection.tail = seen.slice(1 - trap.text.length);
      trap.times -= seen.split(trap.text).length - 1;
      if (trap.times <= 0) {
        connection.held = {
          way: trap.holds,
          data: connection.held?.data ?? [],
          first: trap.sprung,
        };
        trap = undefined;
      }
    }
    pass(connection, 'command', data, connection.redis);
  }

  function onAnswer(connection: Connection, data: Buffer): void {
    if (toHold && data.toString('latin1').includes(toHold.text)) {
      connection.held = { way: 'answer', data: [], first: toHold.sprung };
      toHold = undefined;
    }
    if (toLose && data.toString('latin1').includes(toLose.text)) {
      connection.client.destroy();
      connection.redis.destroy();
      toLose.lost();
      toLose = undefined;
    } else pass(connection, 'answer', data, connection.client);
  }

  function pass({ held }: Connection, way: 'command' | 'answer', data: Buffer, to: Socket): void {
    if (held?.way !== way) {
      to.write(data);
      return;
    }
    held.data.push(data);
    held.first();
  }

  const server = createServer((client) => {
    if (isCut) {
      client.destroy();
      return;
    }
    const redis = connect(behind);
    const connection: Connection = { client, redis, tail: '', held: undefined };
    connections.add(connection);
    client.on('data', (data) => onCommand(connection, data));
    redis.on('data', (data) => onAnswer(connection, data));
    for (const [socket, other] of [
      [client, redis],
      [redis, client],
    ] as const) {
      socket.on('error', () => {});
      socket.on('close', () => {
        connections.delete(connection);
        other.destroy();
      });
    }
  });
  server.listen(path);
  await once(server, 'listening');

  function endAll(): void {
    for (const { client, redis } of connections) {
      client.destroy();
      redis.destroy();
    }
  }

  const hold = (holds: Trap['holds'], text: string, times = 1): Promise<void> =>
    new Promise((resolve) => {
      trap = { text, times, holds, sprung: resolve };
    });

  const proxy: RedisProxy = {
    url: `unix://${path}`,
    loseAnswer: (text = '') =>
      new Promise((resolve) => {
        toLose = { text, lost: resolve };
      }),
    holdCommand: (text, times) => hold('command', text, times),
    holdAnswerTo: (text) => hold('answer', text),
    holdAnswerWith: (text) =>
      new Promise((resolve) => {
        toHold = { text, sprung: resolve };
      }),
    release() {
      for (const connection of connections) {
        const { held, client, redis } = connection;
        connection.held = undefined;
        if (!held) continue;
        // All at once, so that no waiting client is faster than the next command.
        (held.way === 'command' ? redis : client).write(Buffer.concat(held.data));
      }
    },
    cut() {
      isCut = true;
      endAll();
    },
    mend() {
      isCut = false;
    },
    reset() {
      trap = undefined;
      toHold = undefined;
      toLose = undefined;
      proxy.release();
      proxy.mend();
    },
    async close() {
      server.close();
      endAll();
      await once(server, 'close');
    },
  };
  return proxy;
}
