import { fileURLToPath } from 'node:url';
import { run } from './run.ts';

// Relative paths, so that the command line of each process says which one it is.
await run({
  argv: process.argv.slice(2),
  env: process.env,
  programs: {
    root: fileURLToPath(new URL('../../..', import.meta.url)),
    ingress: 'apps/ingress/src/main.ts',
    worker: 'apps/worker/src/main.ts',
    simulator: 'apps/simulator/src/main.ts',
  },
});
