import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { runShortLived } from './short-lived.ts';
import type { StartSettings } from './start-settings.ts';

/** Every specifier that is imported, at any depth, when a program of this folder is loaded. */
function importsOf(program: string): string[] {
  const url = new URL(program, import.meta.url).href;
  const code = `
    import { registerHooks } from 'node:module';
    const seen = [];
    registerHooks({ resolve: (name, context, next) => (seen.push(name), next(name, context)) });
    await import(${JSON.stringify(url)});
    console.log(JSON.stringify(seen));`;
  const args = ['--input-type=module', '--eval', code];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as string[];
}

test('the supervisor loads no Redis client, no schema and no YAML parser for its long life', () => {
  const imported = importsOf('./run.ts');
  expect(imported).toContain('pino');
  for (const heavy of ['ioredis', 'bullmq', 'zod', 'yaml']) expect(imported).not.toContain(heavy);
});

test('a short-lived program answers with what a start needs to know', async () => {
  const { answer, exitCode } = await runShortLived<StartSettings>(
    './read-config.ts',
    ['--port', '8123', '--workers', '3', '--data', '/somewhere'],
    { ...process.env, REDIS_URL: 'redis://u:p@h:1' },
  );
  expect(exitCode).toBe(0);
  expect(answer).toMatchObject({
    listen: { host: '127.0.0.1', port: 8123, isTls: false },
    redisUrl: 'redis://u:p@h:1',
    options: { workers: 3, ingresses: 1, dataDir: '/somewhere' },
  });
});

test('a short-lived program that fails leaves its exit code and no answer', async () => {
  const args = ['--config', '/nowhere/at/all.yaml'];
  expect(await runShortLived('./read-config.ts', args, process.env)).toEqual({
    exitCode: 78,
    answer: undefined,
  });
});
