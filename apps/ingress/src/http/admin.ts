import { timingSafeEqual, createHash } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isLoopback } from '../admission/keys.ts';
import { ApiError, forbidden } from './errors.ts';

export type AdminOptions = {
  admin: { user: string; passwordSha256: string } | undefined;
  /** Adds the pages to a scope that is guarded. */
  pages(scope: FastifyInstance): Promise<void>;
};

/** The pages of operators, behind a password or, without one in the config, for this machine only. */
export async function adminRoutes(
  app: FastifyInstance,
  { admin, pages }: AdminOptions,
): Promise<void> {
  await app.register(async (scope) => {
    scope.addHook('onRequest', async (request, reply) => {
      const refusal = refuse(request, admin);
      // Not thrown: Bull Board's own error handler would make a 500 of it, with a stack.
      if (refusal) {
        const { status, headers, error } = refusal;
        await reply.code(status).headers(headers).send({ error });
      }
    });
    await pages(scope);
  });
}

/** Why these pages are not for who asks; undefined when they are. */
function refuse(request: FastifyRequest, admin: AdminOptions['admin']): ApiError | undefined {
  if (!admin) {
    if (isLoopback(request.ip ?? '')) return undefined;
    return forbidden(
      'Admin pages answer on loopback only: the config names no admin.',
      'loopback_only',
    );
  }
  if (isAdmin(request.headers.authorization, admin)) return undefined;
  const message = 'Admin pages need the user and the password of the config.';
  return new ApiError(
    401,
    { message, type: 'invalid_request_error', param: null, code: 'admin_only' },
    { 'www-authenticate': 'Basic realm="millrace"' },
  );
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
