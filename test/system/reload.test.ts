import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { parse, stringify } from 'yaml';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { expectedText } from '../../apps/simulator/src/index.ts';
import type { Simulator } from '../../apps/simulator/src/index.ts';
import { ask, askWhole, createJob, getJob } from '../kit/client.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { call, errorOf, jsonOf } from '../kit/http.ts';
import { chunks, expectWhole } from '../kit/judge.ts';
import { asked, observeQueue, userOf } from '../kit/observe.ts';
import { parsePrometheus } from '../kit/prometheus.ts';
import { openSocket } from '../kit/socket.ts';
import { metricAt, upstreamsOf } from '../kit/upstreams.ts';

// A running fleet takes over changes of its config file. Each test leaves the fleet with the config that it began with.

const slow = 'healthy:tokens=400,pace=50';
const ops = { authorization: `Basic ${Buffer.from('ops:a-long-password').toString('base64')}` };

let fleet: Fleet;

beforeAll(async () => {
  fleet = await startFleet({
    admin: true,
    workers: 2,
    models: { quick: 'healthy:tokens=5', slow },
    config: { admin: { user: 'ops', password: 'a-long-password' } },
  });
});
afterAll(() => fleet?.close());
beforeEach(() => {
  fleet.primary.reset();
  fleet.backup.reset();
});

type Process = {
  name: string;
  role: string;
  hash: string;
  since: number;
  needs_restart: string[];
  problems: string[];
  refused_at: number | null;
};
type ConfigView = { agreed: boolean; processes: Process[]; config: Record<string, unknown> };

const viewed = async (): Promise<ConfigView> =>
  jsonOf(await call(`${fleet.url}/admin/config`, { headers: ops })) as ConfigView;

/** Orders all processes to read the file, and expects that each has done so. */
async function reload(): Promise<ConfigView> {
  const order = async () =>
    jsonOf(
      await call(`${fleet.url}/admin/config/reload`, { method: 'POST', headers: ops }),
    ) as ConfigView & { pending: string[] };
  let view: Awaited<ReturnType<typeof order>> | undefined;
  // On a busy machine a process may take longer than the control plane waits for it.
  await expect.poll(async () => (view = await order()).pending).toEqual([]);
  if (!view) throw new Error('no answer');
  expect(view.processes.map(({ role }) => role)).toEqual(['admin', 'ingress', 'worker', 'worker']);
  return view;
}

/** Resolves when all processes use the same config, and this is so of its hash. */
async function agreedOn(isSo: (hash: string) => boolean): Promise<ConfigView> {
  for (const { child } of roles()) child.kill('SIGHUP');
  let view = await viewed();
  const isTaken = ({ agreed, processes }: ConfigView) =>
    agreed && processes.length === 4 && isSo(processes[0]?.hash ?? '');
  await expect.poll(async () => isTaken((view = await viewed()))).toBe(true);
  return view;
}

const hashNow = async (): Promise<string> => (await viewed()).processes[0]?.hash ?? '';

/** Runs with other sections of the config in all processes. */
async function using(sections: Record<string, unknown>, run: (view: ConfigView) => Promise<void>) {
  const before = await readFile(fleet.configFile, 'utf8');
  const hash = await hashNow();
  await writeFile(fleet.configFile, stringify({ ...parse(before), ...sections }));
  try {
    await run(await agreedOn((now) => now !== hash));
  } finally {
    await writeFile(fleet.configFile, before);
    await agreedOn((now) => now === hash);
  }
}

const original = () => ({
  models: {
    quick: { targets: [{ provider: 'primary', model: 'healthy:tokens=5' }] },
    slow: { targets: [{ provider: 'primary', model: slow }] },
  },
  providers: providers(),
});

const provider = ({ url }: Simulator, more: object = {}) => ({
  api: 'openai',
  baseUrl: `${url}/v1`,
  breaker: { enabled: false },
  check: { kind: 'off' },
  ...more,
});
const providers = (more: object = {}) => ({
  primary: provider(fleet.primary),
  backup: provider(fleet.backup),
  ...more,
});

async function text(alias: string, user: string): Promise<void> {
  await expectWhole(ask(fleet.url, alias, { body: { user } }), expectedText({ tokens: 5 }));
}

test('all processes report the hash of their config, and the same config has the same hash', async () => {
  const { agreed, processes, config } = await viewed();
  expect(agreed).toBe(true);
  expect(processes.map(({ role }) => role)).toEqual(['admin', 'ingress', 'worker', 'worker']);
  const [hash] = processes.map((one) => one.hash);
  expect(new Set(processes.map((one) => one.hash)).size).toBe(1);
  const shown = async () => {
    const { text } = await call(`${fleet.url}/metrics`, { headers: ops });
    return parsePrometheus(text)
      .filter(({ name }) => name === 'millrace_config_info')
      .map(({ labels }) => labels['hash']);
  };
  // Of the ingress and of two workers, as they reported last.
  await expect.poll(shown).toEqual([hash, hash, hash]);
  expect(JSON.stringify(config)).not.toMatch(/[0-9a-f]{64}|a-long-password/);
  expect(config).toMatchObject({ models: { quick: { strategy: 'failover' } } });
});

test('a change of the file is taken over without an order: a new model, and another target of an old one', async () => {
  const before = await viewed();
  const { models } = original();
  const quick = { targets: [{ provider: 'backup', model: 'healthy:tokens=5' }] };
  // As editors save: a new file takes the place of the old one.
  const saved = await readFile(fleet.configFile, 'utf8');
  const changed = { ...parse(saved), models: { ...models, quick, added: quick } };
  await writeFile(`${fleet.configFile}.new`, stringify(changed));
  await rename(`${fleet.configFile}.new`, fleet.configFile);
  await expect
    .poll(async () =>
      (await viewed()).processes.every(({ hash }) => hash !== before.processes[0]?.hash),
    )
    .toBe(true);
  expect((await viewed()).agreed).toBe(true);
  await text('quick', 'moved');
  await text('added', 'new');
  expect([asked(fleet.backup, 'moved'), asked(fleet.backup, 'new')]).toEqual([1, 1]);
  expect(asked(fleet.primary, 'moved')).toBe(0);
  await writeFile(fleet.configFile, saved);
  await expect
    .poll(async () => (await viewed()).processes[0]?.hash)
    .toBe(before.processes[0]?.hash);
  await reload();
  expect((await call(`${fleet.url}/v1/models/added`)).status).toBe(404);
});

test('a new key of a provider is used for the next request, and a stream under way keeps the old one', async () => {
  const cut = 'cut:tokens=400,after=300,pace=50';
  const keyed = (apiKey: string) => ({
    models: {
      ...original().models,
      keyed: { targets: [{ provider: 'keyed', model: 'healthy:tokens=5' }] },
      'keyed-cut': {
        targets: [
          { provider: 'keyed', model: cut },
          { provider: 'keyed', model: 'prefill:tokens=400', prefill: true },
        ],
      },
    },
    providers: providers({ keyed: provider(fleet.backup, { apiKey }) }),
  });
  const keysOf = (user: string) =>
    fleet.backup.requests
      .filter((request) => userOf(request) === user)
      .map(({ headers }) => headers.authorization?.slice(-4));
  await using(keyed('sk-the-first-0001'), async () => {
    const stream = ask(fleet.url, 'keyed-cut', { body: { user: 'under way' } });
    await stream.until(chunks(5));
    await using(keyed('sk-the-second-0002'), async () => {
      await text('keyed', 'afterwards');
      expect(keysOf('afterwards')).toEqual(['0002']);
      // Two pools, whose requests are counted together.
      const requests = async () =>
        (await upstreamsOf(fleet.url, ops))
          .map(({ upstreams }) => upstreams.pools['keyed']?.requests ?? 0)
          .reduce((sum, count) => sum + count, 0);
      await expect.poll(requests).toBe(2);
      fleet.hurry();
      await expectWhole(stream, expectedText({ tokens: 400 }));
      // Its second attempt began after the change.
      expect(keysOf('under way')).toEqual(['0001', '0001']);
    });
  });
});

test('a model that an ingress has before the workers is served: they look for it', async () => {
  const before = await readFile(fleet.configFile, 'utf8');
  const hash = await hashNow();
  const { models } = original();
  const added = { targets: [{ provider: 'other', model: 'healthy:tokens=5' }] };
  const sections = {
    models: { ...models, added },
    providers: providers({ other: provider(fleet.backup) }),
  };
  const signalWorkers = (signal: NodeJS.Signals) => {
    for (const { child } of fleet.workers) child.kill(signal);
  };
  // They do not read the file meanwhile.
  signalWorkers('SIGSTOP');
  let stream: ReturnType<typeof ask> | undefined;
  try {
    await writeFile(fleet.configFile, stringify({ ...parse(before), ...sections }));
    fleet.ingresses[0]?.child.kill('SIGHUP');
    const listed = async () => (await call(`${fleet.url}/v1/models/added`)).status;
    await expect.poll(listed).toBe(200);
    stream = ask(fleet.url, 'added');
  } finally {
    signalWorkers('SIGCONT');
  }
  await expectWhole(stream, expectedText({ tokens: 5 }));
  await writeFile(fleet.configFile, before);
  await agreedOn((now) => now === hash);
});

test('a stream ends although its provider and its model were removed, and its connections close after it', async () => {
  const doomed = {
    models: { ...original().models, doomed: { targets: [{ provider: 'doomed', model: slow }] } },
    providers: providers({ doomed: provider(fleet.backup) }),
  };
  let stream: ReturnType<typeof ask> | undefined;
  await using(doomed, async () => {
    stream = ask(fleet.url, 'doomed', { body: { user: 'last' } });
    await stream.until(chunks(5));
  });
  const refused = await askWhole(fleet.url, 'doomed').ended;
  expect(refused.status).toBe(404);
  expect(errorOf(refused)).toMatchObject({ code: 'model_not_found' });
  const open = async () =>
    (await upstreamsOf(fleet.url, ops)).filter(({ upstreams }) => 'doomed' in upstreams.pools);
  await expect.poll(open).toHaveLength(1);
  fleet.hurry();
  if (stream) await expectWhole(stream, expectedText({ tokens: 400 }));
  expect(asked(fleet.backup, 'last')).toBe(1);
  await expect.poll(async () => (await open()).length).toBe(0);
});

test('a request that waited in the queue while its model was removed is served', async () => {
  const doomed = {
    models: {
      ...original().models,
      doomed: { targets: [{ provider: 'doomed', model: 'healthy:tokens=5' }] },
    },
    providers: providers({ doomed: provider(fleet.backup) }),
  };
  const queue = observeQueue(fleet);
  let id = '';
  await using(doomed, async () => {
    await queue.board[0]?.pause();
    id = await createJob(fleet.url, 'doomed', { user: 'late' });
  });
  expect(asked(fleet.backup, 'late')).toBe(0);
  await queue.board[0]?.resume();
  await expect.poll(async () => (await getJob(fleet.url, id)).status).toBe('completed');
  expect(asked(fleet.backup, 'late')).toBe(1);
});

test('a broken file is refused with its reason, the old config stays, and a good file is taken again', async () => {
  const good = await readFile(fleet.configFile, 'utf8');
  const before = await viewed();
  await writeFile(
    fleet.configFile,
    good.replace('strategy:', 'strateg:').replace('targets:', 'target:'),
  );
  await expect
    .poll(async () => (await viewed()).processes.map(({ problems }) => problems.length > 0))
    .toEqual([true, true, true, true]);
  const refused = await viewed();
  expect(refused.agreed).toBe(false);
  for (const one of refused.processes) {
    expect(one.problems[0]).toMatch(/millrace\.yaml:\d+:\d+ models\.\S+: /);
    expect(one.refused_at).toBeGreaterThan(before.processes[0]?.since ?? Infinity);
    expect(one.hash).toBe(before.processes[0]?.hash);
  }
  await text('quick', 'still');
  const successful = () => metricAt(fleet.url, 'millrace_config_last_reload_successful', {}, ops);
  await expect.poll(successful).toBe(0);
  for (const { stderr } of roles()) {
    await expect
      .poll(() => refusals(stderr()).at(-1)?.problems)
      .toEqual(refused.processes[0]?.problems);
  }
  await writeFile(fleet.configFile, good);
  expect((await reload()).agreed).toBe(true);
  // The ingress and two workers.
  await expect.poll(successful).toBe(3);
});

test.each([
  [
    'a file with a variable that is not set',
    'the environment variable NOT_SET_ANYWHERE is not set',
    (good: string) => `${good}\n# \${NOT_SET_ANYWHERE}\nboard: \${NOT_SET_ANYWHERE}\n`,
  ],
  ['an empty file', 'expected at least one of the providers', () => ''],
])('%s is refused, and the old config stays', async (_what, reason, broken) => {
  const good = await readFile(fleet.configFile, 'utf8');
  await writeFile(fleet.configFile, broken(good));
  const { processes } = await reload();
  for (const { problems } of processes) expect(problems.join('\n')).toContain(reason);
  await text('quick', 'still');
  await writeFile(fleet.configFile, good);
  expect((await reload()).agreed).toBe(true);
});

test('a file that has vanished leaves the old config in use, until it is there again', async () => {
  const good = await readFile(fleet.configFile, 'utf8');
  await rm(fleet.configFile);
  await expect
    .poll(async () => (await viewed()).processes.flatMap(({ problems }) => problems))
    .toEqual(Array(4).fill(expect.stringContaining('there is no such file')));
  await text('quick', 'still');
  await writeFile(fleet.configFile, good);
  await expect.poll(async () => (await viewed()).agreed).toBe(true);
});

test('SIGHUP makes a process read its config at once', async () => {
  const good = await readFile(fleet.configFile, 'utf8');
  await writeFile(fleet.configFile, 'models: {}');
  for (const { child, stderr } of roles()) {
    child.kill('SIGHUP');
    await expect.poll(() => refusals(stderr()).map(({ cause }) => cause)).toContain('SIGHUP');
  }
  await writeFile(fleet.configFile, good);
  await reload();
});

test('a change of a field that needs a restart is named, and what came with it is taken over', async () => {
  const sections = {
    models: { ...original().models, added: original().models.quick },
    shards: 4,
    listen: { cors: { origins: ['https://example.com'] } },
    limits: { queueTtl: '1h', queueJobs: 7 },
  };
  await using(sections, async ({ processes }) => {
    for (const one of processes) {
      expect(one.needs_restart).toEqual(['limits.queueTtl', 'listen.cors.origins', 'shards']);
    }
    await expect
      .poll(() => metricAt(fleet.url, 'millrace_config_needs_restart', {}, ops))
      .toBe(3 * 3);
    await text('added', 'beside');
    expect((await viewed()).config).toMatchObject({ shards: 1, limits: { queueJobs: 7 } });
  });
  expect((await viewed()).processes.flatMap((one) => one.needs_restart)).toEqual([]);
});

test('keys of the config file are valid from its reload on, also on a WebSocket that is open', async () => {
  const key = (id: string) => ({ id, secret: `the-secret-of-${id}` });
  const bearer = (id: string) => ({ authorization: `Bearer the-secret-of-${id}` });
  const request = { model: 'quick', messages: [{ role: 'user', content: 'hello' }] };
  const create = (id: string) => ({ type: 'create', ref: id, body: request });
  await using({ keys: [key('first'), key('second')] }, async () => {
    expect((await call(`${fleet.url}/v1/models`)).status).toBe(401);
    const [first, second] = await Promise.all(
      ['first', 'second'].map((id) => openSocket(fleet.url, bearer(id))),
    );
    await using({ keys: [key('second')] }, async () => {
      expect((await call(`${fleet.url}/v1/models`, { headers: bearer('first') })).status).toBe(401);
      expect((await call(`${fleet.url}/v1/models`, { headers: bearer('second') })).status).toBe(
        200,
      );
      // A key that is gone ends what was opened with it.
      expect(await first?.closed).toMatchObject({ code: 1008 });
      second?.send(create('b'));
      expect(await second?.next(({ ref }) => ref === 'b')).toMatchObject({ type: 'created' });
    });
    await second?.close();
  });
  expect((await call(`${fleet.url}/v1/models`)).status).toBe(200);
});

const roles = (): RoleProcess[] => [...fleet.ingresses, ...fleet.workers, ...fleet.admins];

type Refusal = { msg: string; cause: string; problems: string[] };

/** Each refusal is one line of the log. */
const refusals = (stderr: string): Refusal[] =>
  stderr
    .split('\n')
    .filter((line) => line.includes('"the config is refused'))
    .map((line) => JSON.parse(line) as Refusal);
