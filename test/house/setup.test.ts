import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FreshClone } from './fresh-clone.ts';

const redis = (version: string): string =>
  `echo "Redis server v=${version} sha=00000000:0 bits=64"`;

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe('packages', () => {
  test('are installed in a fresh clone, and the second set-up is silent', async () => {
    using clone = new FreshClone();
    const first = await clone.setup().ended;
    expect(first).toMatchObject({ code: 0, stdout: '' });
    expect(first.stderr).toContain('npm ci');
    expect(clone.npmCalls()).toHaveLength(1);
    expect(clone.npmCalls()[0]).toMatch(/^\d+ ci .*--include=dev/);

    expect(await clone.setup().ended).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(clone.npmCalls()).toHaveLength(1);
  });

  test('are installed again when the lock file asks for others', async () => {
    using clone = new FreshClone();
    clone.installPackages();
    expect(await clone.setup().ended).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(clone.npmCalls()).toEqual([]);

    clone.changeDependencies('2.0.0');
    expect((await clone.setup().ended).code).toBe(0);
    expect(clone.npmCalls()).toHaveLength(1);
  });

  test('that cannot be installed end set-up with a message, and leave no lock behind', async () => {
    using clone = new FreshClone();
    const { code, stderr } = await clone.setup([], { FAKE_NPM: 'fails' }).ended;
    expect(code).toBe(1);
    expect(stderr).toContain('npm ci failed with exit code 1');
    expect(stderr).not.toContain('    at ');
    expect((await clone.setup().ended).code).toBe(0);
  });
});

describe('two set-ups at once', () => {
  test('install once: the second says that it waits, and for whom', async () => {
    using clone = new FreshClone();
    const first = clone.setup([], { FAKE_NPM: 'waits' });
    await clone.npmRuns();
    const second = clone.setup();
    await second.says(`another set-up is at work here (process ${first.pid})`);
    clone.write('go', '');
    expect((await first.ended).code).toBe(0);
    expect((await second.ended).code).toBe(0);
    expect(clone.npmCalls()).toHaveLength(1);
  });

  test('do not wait for one that was killed', async () => {
    using clone = new FreshClone();
    const first = clone.setup([], { FAKE_NPM: 'waits' });
    const npm = await clone.npmRuns();
    first.child.kill('SIGKILL');
    process.kill(npm, 'SIGKILL');
    await first.ended;
    expect(
      (await Promise.all([clone.setup().ended, clone.setup().ended])).map((e) => e.code),
    ).toEqual([0, 0]);
    expect(clone.npmCalls()).toHaveLength(2);
  });
});

describe('a set-up that is told to stop', () => {
  test('stops npm, gives its lock back and exits as the signal says', async () => {
    using clone = new FreshClone();
    const setup = clone.setup([], { FAKE_NPM: 'waits' });
    const npm = await clone.npmRuns();
    setup.child.kill('SIGTERM');
    expect((await setup.ended).code).toBe(143);
    expect(isAlive(npm)).toBe(false);
    expect(existsSync(join(clone.folder, '.millrace/setup.lock'))).toBe(false);
  });

  test('also stops when only the shell in front of it was', async () => {
    using clone = new FreshClone();
    const launch = clone.start(['sh', 'scripts/launch.sh', 'main.mjs'], { FAKE_NPM: 'waits' });
    const npm = await clone.npmRuns();
    launch.child.kill('SIGTERM');
    // Their output is closed once the last of them is gone.
    await launch.ended;
    expect(isAlive(npm)).toBe(false);
    expect(existsSync(join(clone.folder, '.millrace/setup.lock'))).toBe(false);
  });
});

describe('launching', () => {
  const program = `
    process.on('SIGTERM', () => process.exit(7));
    console.log(JSON.stringify({ pid: process.pid, args: process.argv.slice(2), old: process.env.OLD_NODE }));
    setInterval(() => {}, 1000);
  `;

  test('on a fresh clone runs the new Node, hands on the arguments and lets signals through', async () => {
    using clone = new FreshClone();
    clone.write('main.mjs', program);
    clone.install('node', `OLD_NODE=1 exec ${process.execPath} "$@"`);
    clone.install('npm', `exec ${process.execPath} ${clone.folder}/npm/npm-cli.js "$@"`);
    const launch = clone.start(
      ['sh', '-c', 'exec sh scripts/launch.sh main.mjs "$@"', 'npm', '--port', '8081', 'a b'],
      // As without npm in front, so that the machine's own `node` is found on PATH first.
      { npm_node_execpath: '' },
    );
    await launch.says('"pid"');
    launch.child.kill('SIGTERM');
    const { code, stdout } = await launch.ended;
    expect(JSON.parse(stdout)).toEqual({ pid: launch.pid, args: ['--port', '8081', 'a b'] });
    expect(code).toBe(7);
  });

  test('does not start the program when set-up failed', async () => {
    using clone = new FreshClone();
    clone.write('main.mjs', program);
    const { code, stdout } = await clone.start(['sh', 'scripts/launch.sh', 'main.mjs'], {
      FAKE_NPM: 'fails',
    }).ended;
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });
});

describe('Redis', () => {
  test.each([
    ['redis-server', '7.0.15'],
    ['valkey-server', '8.1.0'],
  ])('may be a %s %s on PATH', async (name, version) => {
    using clone = new FreshClone();
    clone.installPackages();
    clone.install(name, redis(version));
    const { code, stderr } = await clone.setup(['--redis'], { PATH: clone.bin }).ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  test('too old, and no package manager: one message says what to install', async () => {
    using clone = new FreshClone();
    clone.installPackages();
    clone.install('redis-server', redis('6.2.16'));
    const { code, stderr } = await clone.setup(['--redis'], { PATH: clone.bin }).ended;
    expect(code).toBe(1);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(/7\.0 or newer.*redis-server is 6\.2\.16.*apt-get install redis-server/);
  });

  test('an old one does not hide a newer one further along PATH', async () => {
    using clone = new FreshClone();
    clone.installPackages();
    clone.install('redis-server', redis('6.2.16'));
    clone.install('valkey-server', redis('7.2.5'));
    expect((await clone.setup(['--redis'], { PATH: clone.bin }).ended).code).toBe(0);
  });

  test.each([
    ['--redis', ['--redis', 'redis://other:6379'], {}],
    ['--redis=', ['--redis=redis://other:6379'], {}],
    ['REDIS_URL', [], { REDIS_URL: 'redis://other:6379' }],
    ['a config with redis:', ['--config', 'millrace.yaml'], {}],
  ])('is not needed for npm start with %s', async (_case, args, env) => {
    using clone = new FreshClone();
    clone.installPackages();
    clone.write('millrace.yaml', 'shards: 1\nredis: { url: redis://other:6379 }\n');
    const only = { PATH: clone.bin, ...env };
    const { code } = await clone.setup(['--embedded-redis', '--', ...args], only).ended;
    expect(code).toBe(0);
    expect((await clone.setup(['--redis', '--', ...args], only).ended).code).toBe(1);
  });
});
