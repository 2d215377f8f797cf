import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isAdmin } from '../../auth/admin.ts';
import { whyNotLocal } from '../../auth/local-only.ts';
import { isCrossSiteWrite } from '../../auth/origins.ts';
import { browserRequestOf, peerOf } from '../../auth/client-address.ts';
import { apiError } from '../../api-error.ts';
import type { ApiError } from '../../api-error.ts';
import { controlPlanePath, mayChangeKeys } from './control-plane.ts';

export type AdminOptions = {
  readonly admin: { user: string; passwordSha256: string } | undefined;
  /** Whether clients of the API need a key. */
  isKeyRequired(): boolean;
  /** Whether an address is that of a trusted proxy. */
  isProxy(address: string): boolean;
  /** Adds the pages to an authenticated scope. */
  pages(scope: FastifyInstance): void;
};

/** The pages for operators, behind a password or, if the config has none, for this machine only. */
export async function adminRoutes(app: FastifyInstance, options: AdminOptions): Promise<void> {
  await app.register(async (scope) => {
    scope.addHook('onRequest', async (request) => {
      const refusal = refuse(request, options);
      if (refusal) throw refusal;
    });
    options.pages(scope);
  });
}

/** The error for a client that may not use these pages; undefined if it may. */
function refuse(
  request: FastifyRequest,
  { admin, isProxy, isKeyRequired }: AdminOptions,
): ApiError | undefined {
  const peer = peerOf(request, isProxy);
  if (!admin) {
    // Web origins that may use the API are refused as well, because these pages have buttons that delete.
    const reason = whyNotLocal(peer);
    if (!reason) {
      // A program of this machine that has no key could otherwise give itself one.
      const { url: route } = request.routeOptions;
      const changesKeys = route === controlPlanePath && mayChangeKeys(request.method, request.url);
      return changesKeys && isKeyRequired()
        ? apiError('admin_only', { isUnset: true, countAs: 'no_key' })
        : undefined;
    }
    const local = { because: 'No admin is configured', section: 'admin' };
    return reason === 'foreign_page'
      ? apiError(reason, { of: 'local', ...local })
      : apiError(reason, local);
  }
  if (isAdmin(request.headers.authorization, admin)) {
    if (!isCrossSiteWrite(browserRequestOf(request))) return undefined;
    return apiError('foreign_page', { of: 'admin' });
  }
  // A browser asks without a password first.
  const isShown = request.headers.authorization !== undefined;
  return apiError('admin_only', isShown ? {} : { countAs: 'no_key' });
}
