import { existsSync } from 'node:fs';
import { join } from 'node:path';
import staticFiles from '@fastify/static';
import type { FastifyInstance } from 'fastify';
import { AdminError } from './admin-error.ts';
import { consoleHeaders } from './console-headers.ts';

/** Where scripts/setup/console.mjs builds the console. */
const builtConsole = join(import.meta.dirname, '../../console/dist');

/** Seconds for which browsers keep an asset: its name has a hash of its content. */
const assetMaxAge = 31_536_000;

/**
 * The console: its one page at `/admin` and every path below `/admin/console` (the page itself reads the path), its
 * assets below `/admin/console/assets`. Nothing of it is secret; what it shows it asks of the API.
 */
export function consoleRoutes(app: FastifyInstance, folder = builtConsole): void {
  if (!existsSync(join(folder, 'index.html'))) {
    for (const url of ['/admin', '/admin/console', '/admin/console/*']) app.get(url, notBuilt);
    return;
  }
  void app.register(async (scope) => {
    scope.addHook('onSend', async (_request, reply) => void reply.headers(consoleHeaders));
    await scope.register(staticFiles, {
      root: join(folder, 'assets'),
      prefix: '/admin/console/assets/',
      preCompressed: true,
      immutable: true,
      maxAge: assetMaxAge * 1000,
      index: false,
    });
    for (const url of ['/admin', '/admin/console', '/admin/console/*']) {
      scope.get(url, async (_request, reply) =>
        reply
          .header('cache-control', 'no-cache')
          .sendFile('index.html', folder, { cacheControl: false }),
      );
    }
  });
}

const notBuilt = async () => {
  throw new AdminError(
    404,
    'console_not_built',
    'The console is not built: start the control plane with `npm run admin` or `npm start`, which build it, or run `node scripts/setup.mjs --console`.',
  );
};
