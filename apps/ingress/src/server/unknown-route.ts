import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { apiError } from '../api-error.ts';
import { pathOf } from '../url-path.ts';

/** Characters of a path that an error message shows. */
const shownPath = 100;

type Route = { method: string; url: string; pattern: RegExp };

/**
 * Records every route that is registered from now on, and answers requests that match none of them: `OPTIONS`
 * lists the methods of a path, another method is a 405, and a 404 lists the served paths.
 */
export function watchRoutes(
  app: FastifyInstance,
): (request: FastifyRequest, reply: FastifyReply) => FastifyReply {
  const routes: Route[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    // The route that answers preflights for any path is not part of the API.
    if (url === '*') return;
    for (const one of [method].flat()) routes.push({ method: one, url, pattern: toPattern(url) });
  });
  return ({ method, url }, reply) => {
    const path = pathOf(url);
    const found = routes.filter(({ pattern }) => path === '*' || pattern.test(path));
    const allowed = [...new Set(found.map((route) => route.method))];
    const shown = path.slice(0, shownPath);
    if (allowed.length === 0) {
      throw apiError('unknown_url', { method, path: shown, served: listRoutes(routes) });
    }
    if (method === 'OPTIONS') {
      return reply
        .code(204)
        .header('allow', [...allowed, 'OPTIONS'].join(', '))
        .send();
    }
    throw apiError('method_not_supported', {
      method,
      path: shown,
      headers: { allow: allowed.join(', ') },
    });
  };
}

/** `POST /v1/jobs, GET|DELETE /v1/jobs/{id}`: without the pages of operators, and without HEAD, which any GET has. */
function listRoutes(routes: readonly Route[]): string {
  const methods = new Map<string, string[]>();
  for (const { method, url } of routes) {
    if (url.startsWith('/admin') || method === 'HEAD' || method === 'OPTIONS') continue;
    const name = url.replaceAll(/:([^/]+)/g, '{$1}').replace(/\*$/, '{id}');
    methods.set(name, [...(methods.get(name) ?? []), method]);
  }
  return [...methods].map(([url, some]) => `${some.join('|')} ${url}`).join(', ');
}

/** `:name` is one segment, a trailing `*` the rest. Trailing and repeated slashes do not matter. */
const toPattern = (url: string): RegExp =>
  new RegExp(
    `^${url
      .replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&')
      .replaceAll(/:[^/]+/g, '[^/]+')
      .replace(/\*$/, '.*')
      .replaceAll('/', '/+')}/*$`,
  );
