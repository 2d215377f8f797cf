import { writeFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule, TestRunEndReason } from 'vitest/node';

/**
 * The count of tests as one line of its own, the last one: `N passed, N failed`, and `, N skipped`
 * when there are any. With MILLRACE_TEST_TALLY the line goes to that file instead, for a caller that
 * has something to print in between.
 *
 * Whatever makes the run fail counts as a failure, also what is no test: a file that could not be
 * loaded, an error that nobody caught. So "0 failed" is only said of a run that passed.
 *
 * Before it, the tests that passed only when they were tried again, each with its first error. The reader
 * of the output decides whether the test or the product is at fault.
 */
export default class TallyReporter implements Reporter {
  onTestRunEnd(
    modules: readonly TestModule[],
    unhandledErrors: readonly unknown[],
    reason: TestRunEndReason,
  ): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: 'passed' | 'failed' | 'skipped'): number =>
      tests.filter((test) => test.result().state === state).length;

    const brokenModules = modules.filter((module) => module.errors().length > 0).length;
    const failures = count('failed') + brokenModules + unhandledErrors.length;
    const failed = reason === 'passed' ? failures : Math.max(failures, 1);
    const skipped = count('skipped');

    process.stdout.write(flakyReport(tests));
    const line = `${count('passed')} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`;
    const file = process.env.MILLRACE_TEST_TALLY;
    if (file) writeFileSync(file, line);
    else process.stdout.write(line);
  }
}

function flakyReport(tests: readonly TestCase[]): string {
  const flaky = tests.filter((test) => test.diagnostic()?.flaky === true);
  if (flaky.length === 0) return '';
  const lines = flaky.map((test) => {
    const [first] = test.result().errors ?? [];
    return `  ${test.module.relativeModuleId} > ${test.fullName}\n    ${first?.message.split('\n')[0] ?? 'no error'}\n`;
  });
  return `passed only on the second try: ${flaky.length}\n${lines.join('')}`;
}
