import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';

/** A provider over TLS, in a process of its own: what it is to be comes as the first message. */
process.once('message', ({ cert, key }: { cert: string; key: string }) => {
  const server = createServer({ cert, key }, (request, response) => {
    request.resume();
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 2 });
      response.end('{}');
    });
  });
  server.keepAliveTimeout = 0;
  server.listen(0, '127.0.0.1', 1_024, () => {
    process.send?.({ port: (server.address() as AddressInfo).port });
  });
});
process.once('disconnect', () => process.exit());
