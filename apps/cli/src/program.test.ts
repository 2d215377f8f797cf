import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { runHere } from './io.fixture.ts';

const wrong: [argv: string[], says: string][] = [
  [['statuss'], 'Did you mean status?'],
  [['tail'], "missing required argument 'id'"],
  [['tail', 'req_1', 'req_2'], 'too many arguments'],
  [['tail', 'req_1', '--patience', 'long'], 'Expected a duration'],
  [['drain'], "missing required argument 'process'"],
  [['status', '--csv'], "unknown option '--csv'"],
  [['requests', '--from', 'yesterday'], 'Expected a time'],
  [['requests', '--limit', '0'], 'Expected a whole number from 1 to 1000'],
  [['requests', '--status', 'lost'], 'Expected some of completed, failed, cancelled'],
  [['requests', '--csv', '--limit', '5'], "cannot be used with option '--limit"],
  [['requests', '--csv', '--json'], "cannot be used with option '--csv'"],
  [['keys', 'create'], "missing required argument 'id'"],
  [['keys', 'create', 'a', '--concurrent', '-1'], 'Expected a whole number'],
  [['keys', 'update', 'a', '--budget-day', '5 EUR'], 'Expected an amount in USD'],
  [['keys', 'update', 'a', '--no-limits', '--concurrent', '3'], 'cannot be used with option'],
  [['keys', 'update', 'a', '--budget-day', '5', '--no-budget'], 'cannot be used with option'],
  [['keys', 'create', 'a', '--expires', 'never'], 'Expected a time'],
  [['keys', 'rotate', 'a', '--grace', 'long'], 'Expected a duration'],
  [['usage', '--by', 'shoe'], 'Expected some of key, user'],
  [['config', 'check'], "missing required argument 'file'"],
  [['config', 'check', 'x.yaml', '--role', 'cook'], 'expected one of start, ingress'],
  [['status', '--url', 'ftp://host'], 'expected http://HOST:PORT'],
  [['status', '--url', 'http://host/v1'], 'without a path'],
  [['status', '--url', 'http://ops:pw@host'], 'without a path, user or password'],
  [['status', '--admin-user', 'ops'], 'MILLRACE_ADMIN_PASSWORD'],
];

/** The URL of a port on which nothing listens any more. */
async function closedPort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return `http://127.0.0.1:${port}`;
}

test.each(wrong)('%j is a usage error that says why', async (argv, says) => {
  const { code, out, err } = await runHere(argv);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toContain(says);
});

test('--help and --version are no errors', async () => {
  expect(await runHere(['--help'])).toMatchObject({ code: 0, err: '' });
  const { code, out } = await runHere(['--version']);
  expect(code).toBe(0);
  expect(out).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test('without an ingress a command names what it tried, and no secret', async () => {
  const url = await closedPort();
  const env = {
    MILLRACE_URL: url,
    MILLRACE_ADMIN_USER: 'ops',
    MILLRACE_ADMIN_PASSWORD: 'geheim',
  };
  const { code, err } = await runHere(['usage'], env);
  expect(code).toBe(1);
  expect(err).toContain(`${url}: nothing listens there`);
  expect(err).not.toContain('geheim');
});
