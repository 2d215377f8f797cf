import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { makeCertificate } from '../kit/certificates.ts';
import { spawnChild } from '../kit/child.ts';
import { runCli, spawnCli } from '../kit/cli.ts';
import { ask, createJob, eventsOf, follow, getJob, requestId } from '../kit/client.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { chunks, expectWhole, readStory } from '../kit/judge.ts';
import { getLedger } from '../kit/ledger.ts';
import { upstream } from '../kit/observe.ts';
import { startRedis } from '../kit/redis.ts';
import { openSocket } from '../kit/socket.ts';
import { programOf } from '../kit/roles.ts';

// The command line as a real process, against a real fleet.

const slowTokens = 600;
const price = { input: 1, output: 10 };

/** A provider that is down. */
const down = createServer((_request, response) => response.writeHead(503).end('{}'));

let fleet: Fleet;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-cli-'));
  await once(down.listen(0, '127.0.0.1'), 'listening');
  fleet = await startFleet({
    admin: true,
    ingresses: 2,
    workers: 2,
    models: {
      brief: { targets: [{ provider: 'primary', model: 'healthy:tokens=20', price }] },
      slow: `healthy:tokens=${slowTokens},pace=50`,
      bad: 's04',
      down: { targets: [{ provider: 'down', model: 'x' }], maxWait: '0s' },
    },
    config: {
      providers: {
        down: {
          api: 'openai',
          baseUrl: `http://127.0.0.1:${(down.address() as AddressInfo).port}/v1`,
          breaker: { failures: 1, probeInterval: '10m' },
          check: { kind: 'off' },
        },
      },
    },
  });
});
afterAll(async () => {
  await fleet?.close();
  down.close();
  await rm(folder, { recursive: true, force: true });
});
// The ledger has what ended before, so tests that read it name their requests by a user.
beforeEach(() => {
  fleet.primary.reset();
  fleet.backup.reset();
});

type Process = {
  name: string;
  role: string;
  stage: string;
  pid: number;
  counts: { runs?: number; streams?: number };
};
type Status = { ingresses: { status: string }[]; fleet: { processes: Process[] } };

const urls = () => fleet.ingresses.map(({ url }) => url).join();
const cli = (...args: string[]) => runCli(args, { env: { MILLRACE_URL: urls() } });

async function processes(): Promise<Process[]> {
  const { processes: found } = await getLedger<{ processes: Process[] }>(fleet, 'fleet');
  return found;
}

/** The process as the fleet lists it. */
async function listed({ child }: RoleProcess): Promise<Process> {
  const find = async () => (await processes()).find(({ pid }) => pid === child.pid);
  await expect.poll(find).toBeDefined();
  return (await find()) as Process;
}

async function order(what: 'drain' | 'resume', role: RoleProcess) {
  const { name } = await listed(role);
  const first = await cli(what, name);
  const stage = async () => (await listed(role)).stage;
  await expect.poll(stage).toBe(what === 'drain' ? 'draining' : 'serving');
  // On a busy machine a process may take longer than the control plane waits for it.
  const isLate = first.stderr.includes('has not carried it out yet');
  const result = isLate ? await cli(what, name) : first;
  expect(result).toMatchObject({ code: 0, stderr: '' });
  return result.stdout;
}

const nth = (roles: readonly RoleProcess[], place: number) => roles[place] as RoleProcess;

describe('status', () => {
  test('lists every process, and ends with 0 while every ingress is ready', async () => {
    for (const role of [...fleet.ingresses, ...fleet.workers, ...fleet.admins]) await listed(role);
    const { code, stdout, stderr } = await cli('status');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = stdout.split('\n');
    expect(lines.slice(0, 2)).toEqual(fleet.ingresses.map(({ url }) => `${url}  ready`));
    const names = stdout.match(/^(ingress|worker|admin)-[0-9a-f]+ +serving +\d+\.\d+\.\d+ /gm);
    expect(names).toHaveLength(5);
    expect(stdout).toMatch(/^queue +0 requests waiting, 0 running$/m);
    expect(stdout).toMatch(/^ledger +\d+ entr(y|ies) waiting for the database$/m);
    expect(stdout).toMatch(/^targets +all healthy$/m);
  });

  test('ends with 1 if one of the ingresses does not answer, and has the rest from the others', async () => {
    const url = `http://127.0.0.1:1,${urls()}`;
    const { code, stdout } = await runCli(['--url', url, 'status', '--json']);
    expect(code).toBe(1);
    const { ingresses, fleet: found } = JSON.parse(stdout) as Status;
    expect(ingresses.map(({ status }) => status)).toEqual(['away', 'ready', 'ready']);
    expect(found.processes).toHaveLength(5);
  });

  test('lists a target that is not healthy, with its last fault', async () => {
    await ask(fleet.url, 'down').ended;
    const { stdout } = await cli('status');
    expect(stdout).toMatch(/^targets +1 is not healthy$/m);
    expect(stdout).toMatch(/^down\/x +open +\d\S*( \d+s)? +[12] +\S.*503/m);
  });

  test('says so if it is no ingress that answers', async () => {
    const other = createServer((_request, response) => response.end('<html>')).listen(
      0,
      '127.0.0.1',
    );
    await once(other, 'listening');
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    const { code, stdout } = await runCli(['status', '--url', url]);
    const usage = await runCli(['usage', '--url', url]);
    other.close();
    expect(code).toBe(1);
    expect(stdout).toContain(`${url}  away  ${url} answers 200 without JSON: is it an ingress?`);
    expect(usage).toMatchObject({ code: 1, stdout: '' });
    expect(usage.stderr).toContain('is it an ingress?');
  });
});

describe('requests and usage', () => {
  test('show what has ended as a table, as JSON, as CSV, and one of them with its events', async () => {
    const [good, bad] = [
      ask(fleet.url, 'brief', { body: { user: 'ada' } }),
      ask(fleet.url, 'bad', { body: { user: 'ada' } }),
    ];
    await expectWhole(good, expectedText({ tokens: 20 }));
    await bad.ended;
    const [goodId, badId] = [await requestId(good), await requestId(bad)];
    const ended = async () => getLedger<{ data: unknown[] }>(fleet, 'requests?user=ada');
    await expect.poll(async () => (await ended()).data.length).toBe(2);

    const list = await cli('requests', '--user', 'ada', '--from', '1h');
    expect(list).toMatchObject({ code: 0, stderr: '' });
    expect(list.stdout).toMatch(new RegExp(`${goodId} +completed .* primary/healthy`));
    expect(list.stdout).toMatch(new RegExp(`${badId} +failed overloaded`));

    const failed = await cli('requests', '--user', 'ada', '--status', 'failed', '--json');
    const page = JSON.parse(failed.stdout) as { data: { id: string }[]; next: string | null };
    expect(page.data.map(({ id }) => id)).toEqual([badId]);

    const csv = await cli('requests', '--user', 'ada', '--csv');
    expect(csv.stdout.trim().split('\r\n')).toHaveLength(3);

    const one = await cli('requests', badId);
    expect(one.stdout).toMatch(/^error +overloaded /m);
    expect(one.stdout).toMatch(/attempt_end/);

    const usage = await cli('usage', '--by', 'model,status', '--user', 'ada');
    expect(usage).toMatchObject({ code: 0, stderr: '' });
    expect(usage.stdout).toMatch(/^model +status +requests/);
    expect(usage.stdout).toMatch(/^brief +completed +1 +0 +0 +\d+ +0 +20 +0 +0\.00\d+$/m);
    const sums = await cli('usage', '--by', 'model', '--user', 'ada', '--csv');
    expect(sums.stdout).toMatch(/^model,requests,failed/);

    const none = await cli('requests', '--user', 'nobody');
    expect(none).toMatchObject({ code: 0, stdout: '' });
    const page1 = await cli('requests', '--user', 'ada', '--limit', '1');
    const cursor = /--cursor (\S+)/.exec(page1.stderr)?.[1] ?? '';
    const page2 = await cli('requests', '--user', 'ada', '--limit', '1', '--cursor', cursor);
    expect(page1.stdout + page2.stdout).toContain(goodId);
    expect(page1.stdout + page2.stdout).toContain(badId);
  });

  test('a request that the ledger does not have ends with 1 and the words of the server', async () => {
    const { code, stdout, stderr } = await cli('requests', 'req_0_nope');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^millrace: No request req_0_nope is under way/);
  });
});

describe('tail', () => {
  test('follows a request to its end although its ingress is killed', async () => {
    const doomed = await fleet.addIngress();
    fleet.ingresses.pop();
    const id = await createJob(fleet.url, 'slow');
    const follower = spawnCli(['tail', id, '--url', `${doomed.url},${fleet.url}`]);
    await expect.poll(() => follower.stdout.length).toBeGreaterThan(50);
    await doomed.stop('SIGKILL');
    const shown = follower.stdout.length;
    await expect.poll(() => follower.stdout.length).toBeGreaterThan(shown + 50);
    fleet.hurry();
    expect(await follower.exited).toBe(0);
    expect(follower.stdout).toBe(`${expectedText({ tokens: slowTokens })}\n`);
    expect(follower.stderr).toMatch(/^attempt 1 of run 1: start at primary\/healthy/m);
    expect(follower.stderr).toMatch(/^completed: stop, 600 tokens, 1 attempt$/m);
  });

  test('ends with 1 and the error of a request that failed, and shows its events as JSON', async () => {
    const id = await createJob(fleet.url, 'bad');
    const { code, stderr } = await cli('tail', id);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^failed: overloaded /m);
    const json = await cli('tail', id, '--json');
    const events = json.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string });
    expect(events.at(0)?.event).toBe('attempt');
    expect(events.at(-1)?.event).toBe('failed');
  });

  test('ends with 1 if there is no such request', async () => {
    const { code, stderr } = await cli('tail', 'req_0_nope');
    expect(code).toBe(1);
    expect(stderr).toContain('req_0_nope');
  });
});

describe('drain and resume', () => {
  test('a drained worker finishes its jobs and takes none, until it is resumed', async () => {
    const ids = await Promise.all(
      Array.from({ length: 6 }, (_, i) => createJob(fleet.url, 'slow', { user: `job-${i}` })),
    );
    const readers = ids.map((id) => follow(fleet.url, id));
    await Promise.all(readers.map((reader) => reader.until(chunks(3))));
    for (const worker of fleet.workers) {
      expect(await order('drain', worker)).toMatch(/takes no new work; \d+ runs? under way/);
    }
    const late = await createJob(fleet.url, 'slow', { user: 'late' });
    const drained = await cli('status');
    expect(drained.code).toBe(1);
    expect(drained.stdout.match(/^worker-\w+ +draining/gm)).toHaveLength(2);
    expect(drained.stderr).toContain('no worker takes new work');
    const readyz = await fetch(`${fleet.url}/readyz`);
    expect({ code: readyz.status, ...((await readyz.json()) as object) }).toEqual({
      code: 503,
      status: 'not_ready',
      reasons: ['every worker is drained: no worker takes requests'],
    });

    fleet.hurry();
    await Promise.all(readers.map(({ ended }) => ended));
    for (const { events } of readers) {
      const whole = { end: 'done', text: expectedText({ tokens: slowTokens }), takenBack: [] };
      expect(readStory(events)).toMatchObject(whole);
    }
    expect(await getJob(fleet.url, late)).toMatchObject({ status: 'queued', queue_position: 0 });

    // The second worker remains drained, so that the first one runs it.
    expect(await order('resume', nth(fleet.workers, 0))).toMatch(/takes new work\n$/);
    expect(readStory(await eventsOf(fleet.url, late)).end).toBe('done');
    expect((await listed(nth(fleet.workers, 1))).stage).toBe('draining');
    await order('resume', nth(fleet.workers, 1));
    expect(fleet.primary.requests).toHaveLength(7);
  });

  test('a drained ingress finishes its streams and refuses new requests, until it is resumed', async () => {
    const [drained, other] = fleet.ingresses as [RoleProcess, RoleProcess];
    const streams = Array.from({ length: 3 }, () => ask(drained.url, 'slow'));
    await Promise.all(streams.map((stream) => stream.until(chunks(3))));
    const job = await createJob(fleet.url, 'slow');
    const socket = await openSocket(drained.url);
    const socketsOwn = await createJob(fleet.url, 'slow');
    socket.send({ type: 'subscribe', id: socketsOwn });
    await socket.next(({ type, id }) => type === 'chunk' && id === socketsOwn);
    expect(await order('drain', drained)).toContain('4 streams under way');

    const ready = async (url: string) => {
      const response = await fetch(`${url}/readyz`);
      const { status } = (await response.json()) as { status: string };
      return { code: response.status, status };
    };
    expect(await ready(drained.url)).toEqual({ code: 503, status: 'draining' });
    expect(await ready(other.url)).toEqual({ code: 200, status: 'ready' });
    const refused = ask(drained.url, 'brief');
    expect((await refused.head).status).toBe(503);
    expect((await refused.ended).text).toContain('server_shutting_down');
    socket.send({ type: 'subscribe', id: job });
    const frame = await socket.next(({ type, id }) => type === 'error' || id === job);
    expect(frame.error?.code).toBe('server_shutting_down');
    await expectWhole(ask(other.url, 'brief'), expectedText({ tokens: 20 }));
    const { code, stdout } = await cli('status');
    expect(code).toBe(1);
    expect(stdout).toContain(`${drained.url}  draining  this ingress is draining`);

    fleet.hurry();
    for (const stream of streams) {
      await expectWhole(stream, expectedText({ tokens: slowTokens }));
    }
    await socket.next(({ type, id }) => type === 'done' && id === socketsOwn);
    expect(readStory(await eventsOf(other.url, job)).end).toBe('done');
    await order('resume', drained);
    expect(await ready(drained.url)).toEqual({ code: 200, status: 'ready' });
    await expectWhole(ask(drained.url, 'brief'), expectedText({ tokens: 20 }));
  });

  test('a process that does not exist, was killed, stops already or is a control plane is refused', async () => {
    const unknown = await cli('drain', 'worker-none');
    expect(unknown).toMatchObject({ code: 1, stdout: '' });
    expect(unknown.stderr).toContain('No process worker-none runs in this fleet');

    const killed = await fleet.addWorker();
    fleet.workers.pop();
    const { name } = await listed(killed);
    await killed.stop('SIGKILL');
    expect((await cli('drain', name)).stderr).toContain(`No process ${name}`);

    const { name: admin } = await listed(nth(fleet.admins, 0));
    expect((await cli('drain', admin)).stderr).toContain('only an ingress or a worker');

    // It has the only job, and so stops when that has ended.
    for (const worker of fleet.workers) await order('drain', worker);
    const stopping = await fleet.addWorker();
    fleet.workers.pop();
    const { name: last } = await listed(stopping);
    const id = await createJob(fleet.url, 'slow', { user: 'last' });
    await upstream(fleet.primary, 'last');
    const stopped = stopping.stop('SIGTERM');
    await expect.poll(async () => (await listed(stopping)).stage).toBe('stopping');
    const conflict = await cli('drain', last);
    expect(conflict).toMatchObject({ code: 1, stdout: '' });
    expect(conflict.stderr).toContain(`${last} is stopping`);
    fleet.hurry();
    expect(readStory(await eventsOf(fleet.url, id)).end).toBe('done');
    expect(await stopped).toBe(0);
    for (const worker of fleet.workers) await order('resume', worker);
    expect((await processes()).map((one) => one.name)).not.toContain(last);
  });
});

describe('keys', () => {
  test('are created, listed, rotated and revoked, and each secret is shown once', async () => {
    // Once clients need a key, keys are changed by an admin only.
    await fleet.reconfigure({ admin: { user: 'ops', password: 'pass' } });
    const guarded = await fleet.addIngress();
    fleet.ingresses.pop();
    const env = {
      MILLRACE_URL: guarded.url,
      MILLRACE_ADMIN_USER: 'ops',
      MILLRACE_ADMIN_PASSWORD: 'pass',
    };
    const runKeys = (...args: string[]) => runCli(['keys', ...args], { env });
    const own = await runKeys('create', 'cli-a', '--models', 'brief', '--concurrent', '5');
    expect(own).toMatchObject({ code: 0, stderr: expect.stringContaining('cli-a') as string });
    const secret = own.stdout.trim();
    const authorization = `Bearer ${secret}`;
    const models = async (header: string) => {
      const response = await fetch(`${fleet.url}/v1/models`, {
        headers: { authorization: header },
      });
      return response.status;
    };
    await expect.poll(() => models(authorization)).toBe(200);

    const rotated = await runKeys('rotate', 'cli-a', '--grace', '0');
    expect(rotated.code).toBe(0);
    const next = `Bearer ${rotated.stdout.trim()}`;
    await expect.poll(() => models(authorization)).toBe(401);
    await expect.poll(() => models(next)).toBe(200);

    const list = await runKeys('list');
    expect(list.stdout).toMatch(/^cli-a +valid +api +brief +normal +5 at a time .* 1$/m);
    expect(list.stdout).not.toContain(rotated.stdout.trim());
    expect(await runKeys('create', 'cli-a')).toMatchObject({ code: 1, stdout: '' });

    expect(await runKeys('revoke', 'cli-a')).toMatchObject({ code: 0, stderr: '' });
    await expect.poll(() => models(next)).toBe(401);
    expect((await runKeys('list')).stdout).toMatch(/^cli-a +revoked /m);

    // Nobody else does.
    expect(await cli('keys', 'create', 'cli-b')).toMatchObject({ code: 1, stdout: '' });
    await fleet.reconfigure({ admin: undefined });
    await guarded.stop('SIGKILL');
  });
});

describe('config check', () => {
  test('prints every problem of a file as a process does that starts with it, and ends with 78', async () => {
    const file = join(folder, 'bad.yaml');
    await writeFile(
      file,
      'providers: { a: { api: openai, baseUrl: nope } }\nmodels: { m: { targets: [{ provider: b, model: x }], strateggy: 1 } }\n',
    );
    const { code, stdout, stderr } = await runCli(['config', 'check', file]);
    expect({ code, stdout }).toEqual({ code: 78, stdout: '' });
    const role = spawnChild({
      name: 'worker',
      command: process.execPath,
      args: [programOf('worker'), '--config', file, '--redis', fleet.redis.url],
    });
    expect(await role.exited).toBe(78);
    const problems = role.stderr.replaceAll(/^millrace: /gm, '');
    expect(problems.trim().split('\n')).toHaveLength(3);
    expect(stderr).toBe(`${problems}millrace: 3 problems in ${file}\n`);
  });

  test('says that a good file is valid', async () => {
    const file = join(folder, 'good.yaml');
    await writeFile(
      file,
      'providers: { a: { api: openai, baseUrl: "http://127.0.0.1:9/v1" } }\nmodels: { m: { targets: [{ provider: a, model: x }] } }\n',
    );
    const { code, stdout, stderr } = await runCli(['config', 'check', file]);
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: `${file} is valid: 1 model, 1 provider\n`,
      stderr: '',
    });
  });
});

describe('doctor', () => {
  type Check = { name: string; verdict: string; found: string; advice?: string };

  test('ends at the first interruption while it waits for an answer', async () => {
    const silent = createTcpServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const asked = once(silent, 'connection') as Promise<[Socket]>;
    const args = ['doctor', '--redis', `redis://127.0.0.1:${port}`, '--timeout', '10m'];
    const doctor = spawnCli(args);
    const [connection] = await asked;
    expect(await doctor.stop('SIGINT')).toBe(130);
    connection.destroy();
    silent.close();
  });

  test('checks everything without a fleet, and says what is wrong when Redis stops', async () => {
    await using redis = await startRedis(['--maxmemory', '1gb']);
    const provider = createServer(({ url, headers }, response) => {
      const isRight = url === '/v1/models' && headers.authorization === 'Bearer right';
      response.writeHead(isRight ? 200 : 401).end('{}');
    }).listen(0, '127.0.0.1');
    await once(provider, 'listening');
    const baseUrl = `http://127.0.0.1:${(provider.address() as AddressInfo).port}/v1`;
    const { cert, key } = makeCertificate({ name: 'here', until: 3 });
    await writeFile(join(folder, 'cert.pem'), cert);
    await writeFile(join(folder, 'key.pem'), key);
    const file = join(folder, 'doctor.yaml');
    const config = (keys: string) =>
      JSON.stringify({
        listen: { tls: { cert: 'cert.pem', key: 'key.pem' } },
        database: { url: 'sqlite:ledger.db' },
        providers: { a: { api: 'openai', baseUrl, apiKeys: keys.split(',') } },
        models: { m: { targets: [{ provider: 'a', model: 'x' }] } },
      });
    const examine = async () => {
      const args = ['doctor', '--config', file, '--redis', redis.url, '--json'];
      const { code, stdout } = await runCli(args);
      return { code, checks: JSON.parse(stdout) as Check[] };
    };

    await writeFile(file, config('right'));
    const healthy = await examine();
    expect(healthy.code).toBe(0);
    // A busy machine makes a round trip slow.
    const steady = healthy.checks.filter(({ name }) => name !== 'redis latency');
    expect(steady.map(({ name, verdict }) => `${name}: ${verdict}`)).toEqual([
      'config: ok',
      'redis: ok',
      'redis policy: ok',
      'redis memory: ok',
      'redis persistence: ok',
      'clock: ok',
      'database: ok',
      'provider a: ok',
      'certificate of listen.tls: warning',
    ]);

    await writeFile(file, config('right,wrong-key'));
    await redis.kill();
    const ill = await examine();
    provider.close();
    expect(ill.code).toBe(1);
    const problems = ill.checks.filter(({ verdict }) => verdict === 'problem');
    expect(problems.map(({ name }) => name)).toEqual(['redis', 'provider a, key 2']);
    expect(problems.every(({ advice }) => advice !== undefined)).toBe(true);
    expect(problems[0]?.found).toMatch(/there is no such socket|nothing listens there/);
    expect(JSON.stringify(ill.checks)).not.toContain('wrong-key');
  });
});
