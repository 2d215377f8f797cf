import { createSecureServer } from 'node:http2';
import type { Http2ServerResponse } from 'node:http2';
import type { AddressInfo } from 'node:net';

const CHUNK = `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: ' word' } }] })}\n\n`;
const CHUNKS = 20;
const PACE_MS = 5;

/** A provider over TLS, HTTP/1.1 and HTTP/2, in a process of its own. Its certificate comes as the first message. */
process.once('message', ({ cert, key }: { cert: string; key: string }) => {
  const server = createSecureServer({ cert, key, allowHTTP1: true }, (request, response) => {
    request.resume();
    request.on('end', () => {
      if (request.url.endsWith('/stream')) {
        stream(response);
        return;
      }
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 2 });
      response.end('{}');
    });
  });
  server.listen(0, '127.0.0.1', 1_024, () => {
    process.send?.({ port: (server.address() as AddressInfo).port });
  });
});

function stream(response: Http2ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  let sent = 0;
  const next = (): void => {
    if (sent === CHUNKS) {
      response.end();
      return;
    }
    sent += 1;
    response.write(CHUNK);
    setTimeout(next, PACE_MS);
  };
  next();
}

process.once('disconnect', () => process.exit());
