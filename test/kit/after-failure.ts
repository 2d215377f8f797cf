import { afterEach } from 'vitest';
import type { Fleet } from './fleet.ts';

/**
 * For a file whose tests hand their workers on: those of a failed test end with it. One that the test has stopped,
 * or one too many, would fail the tests behind it as well.
 */
export function endWorkersOfFailedTests(fleet: () => Fleet | undefined): void {
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') await fleet()?.killWorkers();
  });
}
