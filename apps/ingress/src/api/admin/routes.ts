import { timingSafeEqual, createHash } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { whyNotLocal } from '../../auth/local-only.ts';
import { isCrossSiteWrite } from '../../auth/origins.ts';
import type { Refusal } from '../../observe/refusals.ts';
import { browserRequestOf, peerOf } from '../../auth/client.ts';
import { apiError } from '../../errors.ts';
import type { ApiError } from '../../errors.ts';
import { factsOf } from '../../observe/request-log.ts';

export type AdminOptions = {
  admin: { user: string; passwordSha256: string } | undefined;
  /** One whose word on its clients is believed. */
  isProxy(address: string): boolean;
  /** Counts and logs it. */
  refused(refusal: Refusal): void;
  /** Adds the pages to a scope that is guarded. */
  pages(scope: FastifyInstance): void;
};

/** The pages of operators, behind a password or, without one in the config, for this machine only. */
export async function adminRoutes(app: FastifyInstance, options: AdminOptions): Promise<void> {
  await app.register(async (scope) => {
    scope.addHook('onRequest', async (request, reply) => {
      const refusal = refuse(request, options);
      // Not thrown: Bull Board's own error handler would make a 500 of it, with a stack.
      if (refusal) {
        const { status, headers, error } = refusal;
        factsOf(reply.raw).code = error.code;
        await reply.code(status).headers(headers).send({ error });
      }
    });
    options.pages(scope);
  });
}

/** Why these pages are not for who asks; undefined when they are. */
function refuse(
  request: FastifyRequest,
  { admin, isProxy, refused }: AdminOptions,
): ApiError | undefined {
  const peer = peerOf(request, isProxy);
  const { address } = peer;
  if (!admin) {
    // Also not for the pages that may use the API: what is asked for here are buttons that delete.
    const reason = whyNotLocal(peer);
    if (!reason) return undefined;
    refused({ reason, address });
    const local = { because: 'No admin is configured', section: 'admin' };
    return reason === 'foreign_page'
      ? apiError(reason, { of: 'local', ...local })
      : apiError(reason, local);
  }
  if (isAdmin(request.headers.authorization, admin)) {
    if (!isCrossSiteWrite(browserRequestOf(request))) return undefined;
    refused({ reason: 'foreign_page', address });
    return apiError('foreign_page', { of: 'admin' });
  }
  refused({ reason: 'admin_only', address });
  return apiError('admin_only');
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
