/** An operator's order to an ingress or a worker: to take no new work, or to take it again. */
export type Order = 'drain' | 'resume';

/** Prefix of a message with which an operator kills a worker (`chaos` in the config); the id of a request may follow. */
export const killMessage = 'kill ';

/** `request`: only a worker that runs it is meant. Undefined for any other message. */
export function parseKill(message: string): { request: string | undefined } | undefined {
  if (!message.startsWith(killMessage)) return undefined;
  return { request: message.slice(killMessage.length) || undefined };
}

/** Prefix of an order on the channel of a process; the order follows. It is no request id and no frame. */
export const orderMessage = 'order ';

/** The order in a message of a channel; undefined for any other message. */
export function parseOrder(message: string): Order | undefined {
  if (!message.startsWith(orderMessage)) return undefined;
  return message.slice(orderMessage.length) === 'drain' ? 'drain' : 'resume';
}
