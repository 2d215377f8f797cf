import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';

/** Seconds that a browser may cache a preflight's result. */
const maxAge = 600;

/** The headers of an answer that pages may read. */
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

/** Permits pages of these origins to use the routes of this scope; keys are sent as headers, no cookies. */
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
  // Most answers bypass fastify, so its headers are copied to the response.
  scope.addHook('onRequest', (_request, reply, done) => {
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) reply.raw.setHeader(name, value);
    }
    done();
  });
}
