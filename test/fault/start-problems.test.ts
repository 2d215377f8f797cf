import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { spawnChild } from '../kit/child.ts';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';
import { programOf } from '../kit/roles.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const good = `
providers:
  primary: { api: openai, baseUrl: http://127.0.0.1:9/v1 }
models:
  some: { targets: [{ provider: primary, model: some }] }
`;

let dir: string;
let redis: TestRedis;

beforeAll(async () => {
  [dir, redis] = await Promise.all([mkdtemp(join(tmpdir(), 'millrace-start-')), startRedis()]);
  await writeFile(join(dir, 'good.yaml'), good);
});
afterAll(async () => {
  await redis?.close();
  await rm(dir, { recursive: true, force: true });
});

type Exit = { code: number | null; lines: string[]; stdout: string };

/** Starts one role and waits for its end: a start that succeeds is a failure here. */
async function failedStart(
  role: 'ingress' | 'worker',
  { config = good, redisUrl = redis.url, args = [] as string[], program = programOf(role) } = {},
): Promise<Exit> {
  const file = join(dir, `${role}-${Math.random().toString(36).slice(2)}.yaml`);
  await writeFile(file, config);
  const { REDIS_URL: _ignored, ...env } = process.env;
  const child = spawnChild({
    name: role,
    command: process.execPath,
    args: [program, '--config', file, '--redis', redisUrl, ...args],
    cwd: root,
    env: { ...env, LOG_LEVEL: 'warn' },
  });
  // One that starts after all must not outlive the test.
  const late = setTimeout(() => void child.stop('SIGKILL'), 30_000);
  const code = await child.exited;
  clearTimeout(late);
  const { stdout, stderr } = child;
  return { code, stdout, lines: stderr.split('\n').filter((line) => line !== '') };
}

/** One line that begins with the program's name, and nothing else. */
function expectOneLine({ code, lines, stdout }: Exit, text: RegExp): void {
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^millrace: /);
  expect(lines[0]).toMatch(text);
  expect(code).toBe(78);
  expect(stdout).toBe('');
}

const roles = ['ingress', 'worker'] as const;

test('worker says which certificate of a provider it cannot read, before it asks for Redis', async () => {
  const config = good.replace('/v1 }', '/v1, tls: { ca: ./nowhere.pem } }');
  const exit = await failedStart('worker', { config, redisUrl: 'redis://127.0.0.1:1' });
  expectOneLine(exit, /providers\.primary\.tls\.ca: cannot read .*nowhere\.pem \(ENOENT\)/);
});

describe.each(roles)('%s', (role) => {
  test('says what is wrong in its config, and where', async () => {
    const config = good.replace('baseUrl', 'baseURL');
    // The source itself; the other tests run the bundle of it.
    const exit = await failedStart(role, { config, program: `apps/${role}/src/main.ts` });
    expect(exit.code).toBe(78);
    expect(exit.lines.length).toBeGreaterThan(0);
    for (const line of exit.lines) expect(line).toMatch(/^millrace: .*\.yaml:3:\d+ /);
    expect(exit.lines.join('\n')).toMatch(/baseURL/);
  });

  test('names a variable that the config needs and that is not set', async () => {
    const config = good.replace('api: openai,', 'api: openai, apiKey: "${NO_SUCH_KEY}",');
    expectOneLine(await failedStart(role, { config }), /:3:.*NO_SUCH_KEY/);
  });

  test('says that there is no config file', async () => {
    expectOneLine(
      await failedStart(role, { args: ['--config', join(dir, 'nowhere.yaml')] }),
      /nowhere\.yaml.*no such file/,
    );
  });

  test('names a flag that it does not know', async () => {
    expectOneLine(await failedStart(role, { args: ['--prot=1'] }), /--prot.*did you mean.*port/);
  });

  test('says that no Redis is there', async () => {
    const port = await freePort();
    const redisUrl = `redis://127.0.0.1:${port}`;
    const exit = await failedStart(role, { redisUrl });
    expectOneLine(exit, /redis:\/\/127\.0\.0\.1:\d+.*nothing listens/);
  });

  test('says that what answers is not Redis', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const redisUrl = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const exit = await failedStart(role, { redisUrl });
    server.close();
    expectOneLine(exit, /not Redis/);
  });

  test('says that the password is wrong, and does not repeat it', async () => {
    const admin = redis.connect();
    await admin.config('SET', 'requirepass', 'right');
    try {
      const wrong = redis.url.replace('unix://', 'unix://:hunter2@');
      const exit = await failedStart(role, { redisUrl: wrong });
      expectOneLine(exit, /wrong user name or password/);
      expect(exit.lines.join()).not.toContain('hunter2');
      expectOneLine(await failedStart(role), /asks for a password, and none was given/);
    } finally {
      await admin.config('SET', 'requirepass', '');
    }
  });

  test('refuses a Redis that would drop requests under memory pressure', async () => {
    const admin = redis.connect();
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
    try {
      expectOneLine(await failedStart(role), /maxmemory-policy must be noeviction.*allkeys-lru/);
    } finally {
      await admin.config('SET', 'maxmemory-policy', 'noeviction');
    }
  });
});

test('an ingress says that its port is taken', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const exit = await failedStart('ingress', { args: ['--port', String(port)] });
  server.close();
  expectOneLine(exit, new RegExp(`cannot listen.*${port}`));
});

test('an ingress says that its TLS files cannot be read', async () => {
  const config = `${good}listen: { tls: { cert: ./no.pem, key: ./no.key } }\n`;
  expectOneLine(await failedStart('ingress', { config, args: ['--port', '0'] }), /TLS.*no\.pem/);
});

test('a start that failed leaves no connection behind', async () => {
  const admin = redis.connect();
  const list = String(await admin.call('CLIENT', 'LIST'));
  expect(list).not.toMatch(/name=(ingress|worker)-/);
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
