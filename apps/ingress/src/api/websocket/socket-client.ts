import { EventEmitter } from 'node:events';

/** The client of a socket, for work that ends when it leaves. */
export type SocketClient = EventEmitter & { destroyed: boolean; leave(): void };

export function createSocketClient(): SocketClient {
  const client = Object.assign(new EventEmitter(), {
    destroyed: false,
    leave() {
      client.destroyed = true;
      client.emit('close');
    },
  });
  // Each frame that waits for the log of an earlier request listens.
  return client.setMaxListeners(0);
}
