import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { expressions, readDashboards, readRules, rulesFile } from '../kit/observability.ts';

const root = join(import.meta.dirname, '../..');
const testsFile = join(root, 'deploy/prometheus/tests/alerts.yaml');
const alerts = readRules().flatMap((rule) => (rule.alert ? [{ ...rule, name: rule.alert }] : []));

const promtool = (...args: string[]) => spawnSync('promtool', args, { encoding: 'utf8' });
/** The set-up does not install it. */
const missing = promtool('--version').status === 0 ? '' : ' (SKIPPED: promtool is not installed)';

test.skipIf(missing !== '')(
  `promtool accepts the rules, and each alert fires and does not fire as tested${missing}`,
  () => {
    for (const args of [
      ['check', 'rules', rulesFile],
      ['test', 'rules', testsFile],
    ]) {
      const { status, stdout, stderr } = promtool(...args);
      expect({ status, said: status === 0 ? '' : stdout + stderr }).toEqual({
        status: 0,
        said: '',
      });
    }
  },
);

test('each alert has a test with which it fires, and one with which it does not', () => {
  const { tests } = parse(readFileSync(testsFile, 'utf8')) as { tests: { name: string }[] };
  const names = tests.map(({ name }) => name).toSorted();
  expect(names).toEqual(
    alerts.flatMap(({ name }) => [`${name} does not fire`, `${name} fires`]).toSorted(),
  );
});

test.each(alerts)('$name has a runbook that says what it means and what to do', (alert) => {
  const path = `docs/runbooks/${alert.name}.md`;
  expect(alert.annotations?.['runbook_url']).toBe(path);
  expect(existsSync(join(root, path))).toBe(true);
  const text = readFileSync(join(root, path), 'utf8');
  for (const heading of ['What it means', 'How to look', 'What to do']) {
    expect(text).toContain(`## ${heading}`);
  }
});

test('dashboards have ids of their own, and use recorded series that exist', () => {
  const uids = readDashboards().map(({ uid }) => uid);
  expect(new Set(uids).size).toBe(uids.length);
  const recorded = new Set(readRules().flatMap(({ record }) => record ?? []));
  const used = [
    ...expressions()
      .join('\n')
      .matchAll(/millrace:[\w:]+/g),
  ].map(([name]) => name);
  expect(used.length).toBeGreaterThan(0);
  expect(used.filter((name) => !recorded.has(name))).toEqual([]);
});
