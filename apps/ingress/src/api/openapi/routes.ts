import { createHash } from 'node:crypto';
import { version } from '@millrace/shared/runtime/version';
import type { FastifyInstance } from 'fastify';
import { buildDocument } from './document.ts';
import type { DescribedRoute } from './document.ts';
import { ofAny } from './error-groups.ts';
import type { Operation } from './operation.ts';
import { pageStyle, renderPage } from './page.ts';

const common = { tag: 'Fleet', access: 'none', errors: ofAny } as const;

const documentOperation: Operation = {
  ...common,
  summary: 'This document',
  answers: {
    '200': { description: 'OpenAPI 3.1.', content: { 'application/json': { type: 'object' } } },
  },
};

const pageOperation: Operation = {
  ...common,
  summary: 'This document as a page',
  answers: { '200': { description: 'HTML.', content: { 'text/html': { type: 'string' } } } },
};

/** The page has one style sheet, which is part of it, and neither scripts nor anything of another host. */
const pageHeaders = {
  'content-security-policy': [
    "default-src 'none'",
    `style-src 'sha256-${createHash('sha256').update(pageStyle).digest('base64')}'`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
};

/**
 * `/openapi.json` describes all routes that are registered from now on and have an `operation`; `/docs` shows it. Both need no key:
 * they are the same for every client, and have nothing of the config.
 */
export function openApiRoutes(app: FastifyInstance): void {
  const routes: DescribedRoute[] = [];
  app.addHook('onRoute', ({ method, url, config }) => {
    const operation = config?.operation;
    if (!operation) return;
    for (const one of [method].flat()) {
      if (one !== 'HEAD') routes.push({ method: one, url, operation });
    }
  });
  let texts: { json: string; page: string } | undefined;
  const rendered = () => {
    if (texts) return texts;
    const document = buildDocument(routes, version);
    texts = { json: JSON.stringify(document), page: renderPage(document) };
    return texts;
  };
  app.get('/openapi.json', { config: { operation: documentOperation } }, (_request, reply) =>
    reply.type('application/json; charset=utf-8').send(rendered().json),
  );
  app.get('/docs', { config: { operation: pageOperation } }, (_request, reply) =>
    reply.headers(pageHeaders).type('text/html; charset=utf-8').send(rendered().page),
  );
}
