import type { Redis } from './redis.ts';

export type SubscriptionEvents = {
  onText(text: string): void;
  /**
   * Texts arrive from now on: for the first time, or again after the connection was lost. Earlier texts may
   * have been missed.
   */
  onListening(): void;
};

/** Listens to one sharded channel on a connection of its own, until `close`. */
export function listen(
  connection: Redis,
  channel: string,
  { onText, onListening }: SubscriptionEvents,
  onError: (error: unknown) => void,
): { close(): void } {
  let closed = false;
  connection.on('smessage', (_channel: string, text: string) => {
    // Messages that were read already still arrive after a disconnect.
    if (closed) return;
    try {
      onText(text);
    } catch (error) {
      onError(error);
    }
  });
  // On every connection: a new one has no subscriptions.
  const subscribe = async () => {
    try {
      await connection.ssubscribe(channel);
      if (!closed) onListening();
    } catch (error) {
      if (!closed) onError(error);
    }
  };
  connection.on('ready', () => void subscribe());
  if (connection.status === 'ready') void subscribe();
  return {
    close() {
      closed = true;
      connection.disconnect();
    },
  };
}
