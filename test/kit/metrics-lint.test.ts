import { expect, it } from 'vitest';
import { lintMetrics } from './metrics-lint.ts';

const family = (name: string, type: string, series = `${name} 1`, help = 'What it is') =>
  `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${series}\n`;

it.each([
  family('a_total', 'counter'),
  family(
    'a_bytes',
    'gauge',
    'a_bytes{worker="w-1",path="a,b=\\"c\\"}"} 1\na_bytes{worker="w-2"} 2',
  ),
  family(
    'a_seconds',
    'histogram',
    'a_seconds_bucket{le="1"} 1\na_seconds_sum 1\na_seconds_count 1',
  ),
  family('a_seconds', 'summary', 'a_seconds{quantile="0.5"} 1\na_seconds_sum 1\na_seconds_count 1'),
])('a clean page has no problem: %j', (page) => {
  expect(lintMetrics(page)).toEqual([]);
});

// Each was also given to `promtool check metrics` 2.42, which reports it.
it.each([
  [family('a_total', 'gauge'), 'a_total: a gauge should not end in _total'],
  [family('a', 'counter'), 'a: a counter should end in _total'],
  [family('a', 'gauge', 'a 1', ''), 'a: no help text'],
  ['a 1\n', 'a: no help text'],
  [family('a_count', 'gauge'), 'a_count: a gauge should not end in _count or _sum'],
  [family('a_bucket', 'gauge'), 'a_bucket: a gauge should not end in _bucket'],
  [family('a', 'gauge', 'a{le="1"} 1'), 'a: a gauge should have no label le'],
  [family('a_milliseconds', 'gauge'), 'a_milliseconds: milliseconds is no base unit'],
  [family('a_ms', 'gauge'), 'a_ms: the unit ms is abbreviated'],
  [family('aB', 'gauge'), 'aB: the name is in camelCase'],
  [family('a:b', 'gauge'), 'a:b: colons are for recording rules'],
  [family('a_gauge', 'gauge'), 'a_gauge: the name has the type gauge in it'],
])('a page with a problem: %j', (page, problem) => {
  expect(lintMetrics(page)).toContain(problem);
});
