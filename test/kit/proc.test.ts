import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { cpuBetween, parseStat, processTree, readCpu, roleOf, totalOf } from './proc.ts';

it('a stat line is read right whatever the process calls itself', () => {
  const rest = 'S 41 42 42 0 -1 4194560 100 0 0 0 250 50 7 8 20 0 11 0 1234 0 0';
  const expected = { pid: 42, parent: 41, cpuSeconds: 3, childSeconds: 0.15 };
  expect(parseStat(`42 (node) ${rest}`)).toEqual(expected);
  expect(parseStat(`42 (a) b (c 1 2) ${rest}`)).toEqual(expected);
  expect(parseStat('')).toBeUndefined();
});

it.each([
  ['ingress', ['/x/node', '/x/apps/ingress/src/main.ts', '--port', '1']],
  ['worker', ['node', 'apps/worker/src/main.ts']],
  ['supervisor', ['node', '/x/apps/supervisor/src/main.ts', '--config', '/tmp/bench.yaml']],
  ['redis', ['/usr/bin/redis-server 127.0.0.1:6379']],
  ['redis', ['valkey-server', '*:0']],
  ['redis', ['redis-aof-rewrite unixsocket:/tmp/redis.sock']],
  ['nginx', ['nginx: worker process']],
  ['nginx', ['nginx: master process nginx -p /tmp/x -c /tmp/x/nginx.conf']],
  ['bare.ts', ['/x/node', '/x/bench/systems/bare.ts', 'http://127.0.0.1:1']],
  ['sh', ['/bin/sh', '-c', 'sleep 1']],
  ['?', []],
])('%s is told by its command line', (role, commandLine) => {
  expect(roleOf(commandLine)).toBe(role);
});

it('CPU is summed over a process and everything below it', async () => {
  const burn = 'while (process.cpuUsage().user < 300_000); console.log("burnt");';
  const node = JSON.stringify(process.execPath);
  // The shell itself uses nothing: what is found has to be its child's.
  const script = `read go; ${node} -e '${burn} setInterval(() => {}, 1000)'; exit 0`;
  const shell = spawn('/bin/sh', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const before = await readCpu(shell.pid);
    shell.stdin.write('\n');
    await once(shell.stdout, 'data');
    const used = cpuBetween(before, await readCpu(shell.pid));
    expect(totalOf(used)).toBeGreaterThan(0.1);
    expect(Object.keys(used)).toHaveLength(2);
    expect(used['sh']).toBeLessThan(0.1);
  } finally {
    for (const { pid } of await processTree(shell.pid as number)) process.kill(pid, 'SIGKILL');
  }
});

it('the CPU of a child that has ended is not lost', async () => {
  const burn = 'while (process.cpuUsage().user < 300_000);';
  const script = `read go; ${JSON.stringify(process.execPath)} -e '${burn}'; echo ended; read go`;
  const shell = spawn('/bin/sh', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const before = await readCpu(shell.pid);
  shell.stdin.write('\n');
  await once(shell.stdout, 'data');
  expect(totalOf(cpuBetween(before, await readCpu(shell.pid)))).toBeGreaterThan(0.1);
  shell.stdin.end();
  await once(shell, 'exit');
});

it('a process that is gone has no tree and used nothing', async () => {
  const child = spawn(process.execPath, ['-e', '']);
  await once(child, 'exit');
  expect(await processTree(child.pid as number)).toEqual([]);
  expect(totalOf(cpuBetween({}, await readCpu(child.pid)))).toBe(0);
  expect(await readCpu(undefined)).toEqual({});
});

it('what ended threads used is told by ticks, and everything else is exact', () => {
  const before = { worker: { ticks: 1, exact: 0.7 } };
  const exactly = cpuBetween(before, { worker: { ticks: 1.01, exact: 0.7012 } });
  expect(exactly['worker']).toBeCloseTo(0.0012);
  const ended = cpuBetween(before, { worker: { ticks: 2, exact: 0.75 } });
  expect(ended['worker']).toBeCloseTo(1);
});
