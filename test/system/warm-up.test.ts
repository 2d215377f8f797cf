import { expect, onTestFinished, test, vi } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import { bundleVariable } from '../kit/roles.ts';

/* apps/worker/src/intake/warm-up.ts: a worker serves streams before it takes jobs, and nobody is to know of them. */

test('a worker that has started has asked no provider, written no request, and counted and logged nothing', async () => {
  // The bundle of the other tests warms nothing up.
  vi.stubEnv(bundleVariable, undefined);
  onTestFinished(() => void vi.unstubAllEnvs());
  await using fleet = await startFleet({ models: { m: 'healthy' } });
  const called = [fleet.primary, fleet.backup].flatMap(({ requests }) => requests);
  expect(called).toEqual([]);
  const keys = await fleet.redis.connect().keys('*');
  expect(keys.filter((key) => key.includes('req_'))).toEqual([]);
  const page = await fetch(`${fleet.url}/metrics`).then((answer) => answer.text());
  expect(page).toContain('millrace_runs_active{');
  expect(page).not.toContain('warm-up');
  const counted = /^millrace_(runs|attempts|seams)\w*_total\{.*\} (?!0$)/m.exec(page);
  expect(counted).toBeNull();
  expect(fleet.workers[0]?.stderr()).toBe('');
});
