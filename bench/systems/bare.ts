/**
 * The minimum of any proxy on Node: fastify receives the request, undici sends it on, and the bytes of the
 * answer are passed back as they arrive. Nothing is parsed, kept or checked. Its only argument is the
 * upstream's origin; it prints `bare ready ORIGIN` and exits on SIGTERM or when its parent does.
 */
import { fastify } from 'fastify';
import { Pool } from 'undici';

const origin = process.argv[2];
if (origin === undefined) throw new Error('usage: bare.ts UPSTREAM_ORIGIN');
const upstream = new Pool(origin);
const app = fastify({ bodyLimit: 16 * 1024 * 1024 });

app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
  done(null, body);
});

app.post<{ Body: Buffer }>('/v1/chat/completions', async (request, reply) => {
  const answer = await upstream.request({
    path: '/v1/chat/completions',
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: request.headers.authorization ?? '',
    },
    body: request.body,
  });
  return reply
    .code(answer.statusCode)
    .header('content-type', answer.headers['content-type'] ?? 'application/octet-stream')
    .send(answer.body);
});

// ^C goes to the whole group; the bench decides when this process ends.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => process.exit(0));
process.on('disconnect', () => process.exit(0));
process.stdout.write(`bare ready ${await app.listen({ host: '127.0.0.1', port: 0 })}\n`);
