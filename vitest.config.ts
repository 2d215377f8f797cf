import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    // What is polled for is there in milliseconds, but the two cores may be busy.
    expect: { poll: { timeout: 10_000 } },
    reporters: ['default', './test/reporter.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{apps,packages,bench,crashtest,scripts}/**/*.test.{ts,mjs}'],
          testTimeout: 20_000,
          hookTimeout: 20_000,
        },
      },
      {
        // Whole processes, sockets and signals: one file at a time, and after the unit tests, so that
        // what is measured here is not the neighbour's load.
        extends: true,
        test: {
          name: 'system',
          include: ['test/**/*.test.{ts,mjs}'],
          sequence: { groupOrder: 1 },
          testTimeout: 20_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
