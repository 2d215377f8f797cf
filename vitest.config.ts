import { fileURLToPath } from 'node:url';
import { configDefaults, defineConfig } from 'vitest/config';

// Most of the work of these tests is to start processes: each finds its code compiled, as those of
// scripts/launch.sh do.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(
  new URL('node_modules/.cache/millrace', import.meta.url),
);

/** What bounds a time most narrowly, or has a time in it that a busy machine would exceed. */
const timed = [
  'bench/bench',
  'test/fault/cancel',
  'test/fault/client-leaves',
  'test/fault/hung-worker',
  'test/fault/ingress-drains',
  'test/fault/job-removed',
  'test/fault/reaper',
  'test/fault/slow-reader',
  'test/fault/slow-socket',
  'test/fault/worker-drains',
  'test/system/admission',
  'test/system/curl',
  'test/system/jobs',
  'test/system/limits',
  'test/system/queue',
  'test/system/websocket',
  'test/sdk/openai',
].map((name) => `${name}.test.ts`);

/** Milliseconds that whole processes may take on a slow machine: it ends what hangs, and times nothing. */
const patienceMs = 90_000;

export default defineConfig({
  test: {
    globalSetup: './test/kit/roles-setup.ts',
    pool: 'forks',
    // On two cores: most files wait for processes of their own.
    maxWorkers: 3,
    // What is polled for is there in milliseconds, but the two cores may be busy.
    expect: { poll: { timeout: 10_000 } },
    reporters: ['default', './test/reporter.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{apps,packages,bench,crashtest,scripts}/**/*.test.{ts,mjs}'],
          exclude: [...configDefaults.exclude, ...timed],
          testTimeout: 20_000,
          hookTimeout: 20_000,
        },
      },
      {
        // Whole processes and sockets, beside the unit tests.
        extends: true,
        test: {
          name: 'system',
          include: ['test/**/*.test.{ts,mjs}'],
          exclude: [...configDefaults.exclude, ...timed],
          testTimeout: patienceMs,
          hookTimeout: patienceMs,
        },
      },
      {
        // One file after the other, with the machine to itself.
        extends: true,
        test: {
          name: 'timed',
          include: timed,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
          testTimeout: patienceMs,
          hookTimeout: patienceMs,
        },
      },
    ],
  },
});
