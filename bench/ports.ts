import { once } from 'node:events';
import { createServer } from 'node:net';

/** A port on 127.0.0.1 that was free just now, for programs that cannot report the one that they chose. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
