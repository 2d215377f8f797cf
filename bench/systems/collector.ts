import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/* An OpenTelemetry collector that reads everything and keeps nothing. */

const server = createServer((request, response) => {
  request.resume();
  request.on('end', () =>
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}'),
  );
});

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`collector ready http://127.0.0.1:${port}\n`);
});

process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
