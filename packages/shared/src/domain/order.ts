/** An operator's order to an ingress or a worker: to take no new work, or to take it again. */
export type Order = 'drain' | 'resume';

/** Prefix of an order on the channel of a process; the order follows. It is no request id and no frame. */
export const orderMessage = 'order ';

/** The order in a message of a channel; undefined for any other message. */
export function parseOrder(message: string): Order | undefined {
  if (!message.startsWith(orderMessage)) return undefined;
  return message.slice(orderMessage.length) === 'drain' ? 'drain' : 'resume';
}
