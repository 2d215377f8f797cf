import { expect, test } from 'vitest';
import { listenProblem } from './listen-problem.ts';

const problem = (code: string, host = '127.0.0.1') =>
  listenProblem(Object.assign(new Error(`listen ${code}`), { code }), host, 8080);

test('a port that is taken, forbidden or elsewhere names the setting that changes it', () => {
  expect(problem('EADDRINUSE')).toMatch(
    /^cannot listen on 127\.0\.0\.1:8080: .* --port or listen\.port$/,
  );
  expect(problem('EACCES')).toMatch(/above 1023 with --port/);
  expect(problem('EADDRNOTAVAIL', '::2')).toMatch(
    /^cannot listen on \[::2\]:8080: .* set listen\.host$/,
  );
});

test('any other problem is in the system’s own words', () => {
  expect(problem('EMFILE')).toBe('cannot listen on 127.0.0.1:8080: listen EMFILE');
});
