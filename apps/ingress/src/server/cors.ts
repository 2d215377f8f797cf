import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';
import { answerHeaders } from './answer-headers.ts';

/** Seconds that a browser may cache a preflight's result. */
const maxAge = 600;

/** Permits pages of these origins to use the routes of this scope; keys are sent as headers, no cookies. */
export async function allowPages(
  scope: FastifyInstance,
  origins: readonly string[],
): Promise<void> {
  if (origins.length === 0) return;
  await scope.register(cors, {
    origin: [...origins],
    methods: ['GET', 'POST', 'DELETE'],
    exposedHeaders: Object.keys(answerHeaders),
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
