import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
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
          testTimeout: 20_000,
          hookTimeout: 20_000,
        },
      },
      {
        // Whole processes, sockets and signals, after the unit tests. They wait more than they work, and
        // none of them may depend on how long something takes.
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
