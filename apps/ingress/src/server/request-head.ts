import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { apiError } from '../api-error.ts';
import type { ApiError } from '../api-error.ts';

/* Checks of a request's head that Node's parser does not make. */

type Head = Pick<IncomingMessage, 'httpVersion' | 'rawHeaders' | 'headers'>;

/** The characters of a host and its port (RFC 3986, 3.2). */
const hostPattern = /^[\w.~!$&'()*+,;=%:[\]-]*$/;

/** Refuses versions other than HTTP/1.0 and 1.1, a missing or second host, and unknown expectations. */
export function checkHeads(app: FastifyInstance): void {
  app.addHook('onRequest', (request, _reply, done) => done(whyBadHead(request.raw)));
}

export function whyBadHead({ httpVersion, rawHeaders, headers }: Head): ApiError | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    return bad(`HTTP/${httpVersion} is not served here.`, httpVersion.startsWith('0') ? 400 : 505);
  }
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (name.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  // A proxy and this server could each use a different one of the two.
  if (hosts > 1) return bad('The request has more than one Host header.');
  if (hosts === 0 && httpVersion === '1.1') return bad('The request has no Host header.');
  if (!hostPattern.test(headers.host ?? ''))
    return bad('The Host header is not the name of a host.');
  const { expect } = headers;
  if (expect !== undefined && expect.toLowerCase() !== '100-continue' && httpVersion === '1.1') {
    return bad("Only '100-continue' may be expected.", 417);
  }
  return undefined;
}

const bad = (message: string, status = 400) =>
  apiError('invalid_http', { message, status, headers: { connection: 'close' } });

/**
 * `Expect: 100-continue`: the 100 is sent when the body is wanted, so never after a refusal. A request with
 * another expectation is refused by its head.
 */
export function answerExpectations(app: FastifyInstance): void {
  const waiting = new WeakSet<IncomingMessage>();
  app.server.on('checkContinue', (request, response) => {
    waiting.add(request);
    app.routing(request, response);
  });
  app.server.on('checkExpectation', (request, response) => app.routing(request, response));
  app.addHook('preParsing', (request, reply, payload, done) => {
    if (waiting.delete(request.raw) && !reply.raw.headersSent) reply.raw.writeContinue();
    done(null, payload);
  });
}
