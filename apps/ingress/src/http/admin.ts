import { timingSafeEqual, createHash } from 'node:crypto';
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isLoopback } from '../admission/keys.ts';
import { ApiError, forbidden } from './errors.ts';

export type AdminOptions = {
  queues: ConstructorParameters<typeof BullMQAdapter>[0][];
  admin: { user: string; passwordSha256: string } | undefined;
};

const boardPath = '/admin/queues';

/** Bull Board, behind a password or, without one in the config, for this machine only. */
export async function adminRoutes(
  app: FastifyInstance,
  { queues, admin }: AdminOptions,
): Promise<void> {
  const adapter = new FastifyAdapter();
  adapter.setBasePath(boardPath);
  createBullBoard({
    queues: queues.map((queue) => new BullMQAdapter(queue)),
    serverAdapter: adapter,
    options: { uiConfig: { boardTitle: 'Millrace' } },
  });
  await app.register(async (scope) => {
    scope.addHook('onRequest', async (request, reply) => checkAdmin(request, reply, admin));
    await scope.register(adapter.registerPlugin(), { prefix: boardPath });
  });
}

function checkAdmin(
  request: FastifyRequest,
  reply: FastifyReply,
  admin: AdminOptions['admin'],
): void {
  if (!admin) {
    if (isLoopback(request.socket.remoteAddress ?? '')) return;
    throw forbidden(
      'Admin pages answer on loopback only: the config names no admin.',
      'loopback_only',
    );
  }
  if (isAdmin(request.headers.authorization, admin)) return;
  reply.header('www-authenticate', 'Basic realm="millrace"');
  throw new ApiError(401, {
    message: 'Admin pages need the user and the password of the config.',
    type: 'invalid_request_error',
    param: null,
    code: 'admin_only',
  });
}

/** Compares digests, in constant time. */
export function isAdmin(
  authorization: string | undefined,
  admin: { user: string; passwordSha256: string },
): boolean {
  const encoded = /^Basic\s+(\S+)\s*$/i.exec(authorization ?? '')?.[1];
  if (encoded === undefined) return false;
  const [user = '', ...password] = Buffer.from(encoded, 'base64').toString('utf8').split(':');
  const rightUser = timingSafeEqual(sha256(user), sha256(admin.user));
  const rightPassword = timingSafeEqual(
    sha256(password.join(':')),
    Buffer.from(admin.passwordSha256, 'hex'),
  );
  return rightUser && rightPassword;
}

const sha256 = (text: string) => createHash('sha256').update(text).digest();
