import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';

/** Seconds that a browser may remember what it was allowed. */
const maxAge = 600;

/** What pages may read of an answer beside its body. */
const exposedHeaders = [
  'x-request-id',
  'x-millrace-served-by',
  'x-millrace-attempts',
  'idempotent-replayed',
  'retry-after',
  'retry-after-ms',
  ...['limit', 'remaining', 'reset'].flatMap((what) => [
    `x-ratelimit-${what}-requests`,
    `x-ratelimit-${what}-tokens`,
  ]),
];

/** Lets pages of these origins use the routes of this scope; keys are sent as headers, no cookies. */
export async function allowPages(
  scope: FastifyInstance,
  origins: readonly string[],
): Promise<void> {
  if (origins.length === 0) return;
  await scope.register(cors, {
    origin: [...origins],
    methods: ['GET', 'POST', 'DELETE'],
    exposedHeaders,
    maxAge,
    strictPreflight: false,
  });
  // Most answers are written past fastify, so its headers are copied to the response.
  scope.addHook('onRequest', (_request, reply, done) => {
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) reply.raw.setHeader(name, value);
    }
    done();
  });
}
