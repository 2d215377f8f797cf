import { fileURLToPath } from 'node:url';
import { configDefaults, defineConfig } from 'vitest/config';

// Most of the work of these tests is to start processes: each finds its code compiled, as those of
// scripts/launch.sh do.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(
  new URL('node_modules/.cache/millrace', import.meta.url),
);

/** What a busy machine would be late for. */
const timed = ['test/fault/in-time.test.ts'];

/** A module that is mocked needs a process of its own. */
const isolated = [
  'apps/ingress/src/auth/api-keys.test.ts',
  'apps/worker/src/run/race.test.ts',
  'test/property/continuation.property.test.ts',
];

/** Beside those of `test`: they start processes or wait for sockets, too. */
const systemElsewhere = [
  'bench/bench.test.ts',
  'bench/redis.test.ts',
  'bench/load/generator.test.ts',
  'apps/admin/src/webhooks/send.test.ts',
  'apps/cli/src/http/ingress.test.ts',
  'apps/cli/src/commands/tail.test.ts',
  'apps/ingress/src/api/{answer,websocket/upgrade}.test.ts',
  'apps/simulator/src/*.test.ts',
  'apps/supervisor/src/supervisor*.test.ts',
  'apps/worker/src/coalescing/gathering.test.ts',
  'apps/worker/src/run/attempt.test.ts',
  'apps/worker/src/upstream/health/ask.test.ts',
  'apps/worker/src/upstream/pool/*.test.ts',
  'packages/shared/src/runtime/{lifecycle,logger}.test.ts',
  'packages/shared/src/store/redis.test.ts',
];

/** Milliseconds that whole processes may take on a slow machine: it ends what hangs, and times nothing. */
const patienceMs = 90_000;

/**
 * A test of whole processes that fails is tried once more, because one that lost a race for the processor must not hide what
 * else broke; `test/reporter.ts` lists it with its first error (docs/decisions/2026-11-30-test-retries.md).
 */
const retry = 1;

/** For tests that start an ingress or a worker. */
const globalSetup = './test/kit/roles-setup.ts';

export default defineConfig({
  test: {
    pool: 'forks',
    // On two cores: most files wait for processes of their own.
    maxWorkers: 4,
    // What is polled for is there in milliseconds, but the two cores may be busy.
    expect: { poll: { timeout: 10_000 } },
    reporters: ['default', './test/reporter.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          // One process for many files, which cleans up behind each: starting one takes longer than most files.
          isolate: false,
          include: ['{apps,packages,bench,crashtest,scripts}/**/*.test.{ts,mjs}'],
          exclude: [...configDefaults.exclude, ...isolated, ...systemElsewhere],
          testTimeout: 20_000,
          hookTimeout: 20_000,
        },
      },
      { extends: true, test: { name: 'isolated', include: isolated } },
      {
        // Whole processes and sockets, beside the unit tests.
        extends: true,
        test: {
          name: 'system',
          globalSetup,
          retry,
          // As above: each file closes what it opens.
          isolate: false,
          include: ['test/**/*.test.{ts,mjs}', ...systemElsewhere],
          exclude: [...configDefaults.exclude, ...isolated, ...timed],
          expect: { poll: { timeout: patienceMs / 3 } },
          testTimeout: patienceMs,
          hookTimeout: patienceMs,
        },
      },
      {
        // One file after the other, with the machine to itself.
        extends: true,
        test: {
          name: 'timed',
          globalSetup,
          retry,
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
