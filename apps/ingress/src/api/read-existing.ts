import type { ServerResponse } from 'node:http';
import type { EntryId } from '@millrace/shared/domain/entry';
import type { Described } from '@millrace/shared/store/stream-log/port';
import type { Principal } from '../auth/api-keys.ts';
import type { Client, Exchange } from '../exchange/exchange-client.ts';
import type { Services } from '../services.ts';
import { keyEnded } from './answer.ts';

export type ReadOptions = {
  described: Described;
  /** Where its log is read from. */
  from: EntryId;
  client: Client;
  response: ServerResponse;
  /** Of the reader, who need not be the one who made the request. */
  principal: Principal;
  services: Pick<Services, 'exchanges' | 'connections' | 'keyUsers'>;
  /** Bytes that wait to be sent. */
  held(): number;
};

/** Reads a request that exists for the client of a response, until that closes, or the client's key ends. */
export function readExisting(options: ReadOptions): Exchange {
  const { described, from, client, response, principal, services, held } = options;
  const exchange = services.exchanges.read(described, client, from);
  const connection = services.connections.add(() => exchange.drain(), undefined, held);
  const keyUse = services.keyUsers.add(principal, (refused) => exchange.expel(refused, keyEnded));
  response.on('close', () => {
    connection.remove();
    keyUse.remove();
    exchange.leave('its reader left');
  });
  return exchange;
}
