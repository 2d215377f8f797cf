import type { FastifyInstance } from 'fastify';
import { invalidRequest, notFound } from './errors.ts';
import type { ApiError } from './errors.ts';

/**
 * Remembers every route that is registered from now on, and tells for a request that none of them
 * took whether another method would have found something (405) or nothing is there (404).
 */
export function watchRoutes(app: FastifyInstance): (method: string, url: string) => ApiError {
  const routes: { method: string; pattern: RegExp }[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    // What answers a browser's preflight to any path says nothing of what is there.
    if (url === '*') return;
    for (const one of [method].flat()) routes.push({ method: one, pattern: toPattern(url) });
  });
  return (method, url) => {
    const path = (url.split('?')[0] ?? '').slice(0, 200);
    const allowed = routes.filter(({ pattern }) => pattern.test(path)).map((route) => route.method);
    if (allowed.length === 0)
      return notFound(`Unknown request URL: ${method} ${path}.`, 'unknown_url');
    return invalidRequest(`Not allowed to ${method} on ${path}.`, {
      status: 405,
      code: 'method_not_supported',
      headers: { allow: [...new Set(allowed)].join(', ') },
    });
  };
}

/** `:name` is one segment, a last `*` all that follows. */
const toPattern = (url: string): RegExp =>
  new RegExp(
    `^${url
      .replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&')
      .replaceAll(/:[^/]+/g, '[^/]+')
      .replace(/\*$/, '.*')}/?$`,
  );
