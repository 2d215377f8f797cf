import { fileURLToPath } from 'node:url';
import { run } from './run.ts';

// Relative paths, so that each process can be identified by its command line.
await run({
  argv: process.argv.slice(2),
  env: process.env,
  programs: {
    root: fileURLToPath(new URL('../../..', import.meta.url)),
    ingress: 'apps/ingress/src/main.ts',
    worker: 'apps/worker/src/main.ts',
    simulator: 'apps/simulator/src/main.ts',
    admin: 'apps/admin/src/main.ts',
  },
});
