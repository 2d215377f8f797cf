import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { loadConfig } from './load.ts';
import { changedParts, hashOf, reload } from './reload.ts';
import type { Config } from './types.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace-reload-'));
afterAll(() => rmSync(folder, { recursive: true }));

const model = { targets: [{ provider: 'p', model: 'x' }] };
const provider = { api: 'openai', baseUrl: 'http://127.0.0.1:9/v1', apiKey: 'sk-one' };
const base = { providers: { p: provider }, models: { m: model } };

function configOf(sections: object = {}, argv: string[] = [], env = {}): Config {
  const file = join(folder, 'millrace.yaml');
  writeFileSync(file, JSON.stringify({ ...base, ...sections }));
  return loadConfig({ argv: ['--config', file, ...argv], env, role: 'ingress' }).config;
}

const started = configOf();

describe('a reload', () => {
  test.each([
    ['models', { models: { m: { ...model, timeout: '5m' }, n: model } }],
    ['providers', { providers: { p: provider, q: provider } }],
    ['a key of a provider', { providers: { p: { ...provider, apiKey: 'sk-two' } } }],
    ['keys', { keys: [{ id: 'a', secret: 'secret-of-a-client' }] }],
    ['the password of the admin', { admin: { user: 'ops', password: 'a-long-password' } }],
    ['limits that are read for each request', { limits: { queueJobs: 5, readerBuffer: '1MiB' } }],
  ])('takes over %s', (_what, sections) => {
    const loaded = configOf(sections);
    expect(reload(started, loaded)).toEqual({ config: loaded, needsRestart: [] });
  });

  test('takes over that keys are not needed any more', () => {
    const before = configOf({ keys: [{ id: 'a', secret: 'secret-of-a-client' }] });
    expect(reload(before, started).config.keys).toBeUndefined();
  });

  test('keeps what needs a restart, names it as the file does, and takes over the rest', () => {
    const loaded = configOf({
      listen: {
        port: 9999,
        cors: { origins: ['https://example.com'] },
        tls: { cert: 'a', key: 'b' },
      },
      redis: { url: 'redis://other:6379' },
      shards: 4,
      retention: '2h',
      drainTimeout: '1m',
      database: { url: 'sqlite:ledger.db' },
      board: 'remove',
      chaos: true,
      telemetry: { otlp: 'http://127.0.0.1:4318' },
      delivery: { coalesce: 0 },
      limits: { queueTtl: '2h', requestBody: '1MiB', queueJobs: 5 },
      models: { n: model },
    });
    const { config, needsRestart } = reload(started, loaded);
    expect(needsRestart).toEqual([
      'board',
      'chaos',
      'database',
      'delivery.coalesce',
      'drainTimeout',
      'limits.queueTtl',
      'limits.requestBody',
      'listen.cors.origins',
      'listen.port',
      'listen.tls',
      'redis.url',
      'retention',
      'shards',
      'telemetry',
    ]);
    const { limits } = started;
    expect(config).toEqual({
      ...started,
      models: loaded.models,
      limits: { ...limits, queueJobs: 5 },
    });
  });

  test('a field that goes back to its value at the start needs no restart any more', () => {
    expect(reload(started, configOf({ shards: 4 })).needsRestart).toEqual(['shards']);
    expect(reload(started, configOf())).toEqual({ config: started, needsRestart: [] });
  });

  test('a model may not take longer than this process keeps requests in Redis', () => {
    const short = configOf({
      limits: { queueTtl: '1m' },
      models: { m: { ...model, timeout: '2m' } },
    });
    const loaded = configOf({
      limits: { queueTtl: '1m' },
      models: { m: { ...model, timeout: '3m' }, n: { ...model, timeout: '4m' } },
    });
    const { config, needsRestart } = reload(short, loaded);
    expect(needsRestart).toEqual(['models.n.timeout']);
    expect([config.models['m']?.timeoutMs, config.models['n']?.timeoutMs]).toEqual([
      180_000, 180_000,
    ]);
  });

  test('is refused if keys get a budget and the process started without a ledger', () => {
    const keys = [{ id: 'a', secret: 'secret-of-a-client', budget: { day: 5 } }];
    const database = { url: 'sqlite:ledger.db' };
    const loaded = configOf({ keys, database });
    expect(() => reload(started, loaded)).toThrow(
      "keys: the budget of 'a' needs the ledger, and this process started without one; restart it",
    );
    expect(reload(configOf({ database }), loaded).config.keys).toEqual(loaded.keys);
  });

  test('models keep their map without a prototype, and all of it is frozen', () => {
    const { config } = reload(started, configOf({ models: { n: model } }));
    expect('constructor' in config.models).toBe(false);
    expect(Object.isFrozen(config.models['n']?.targets)).toBe(true);
  });
});

describe('the hash of a config', () => {
  test('is the same for the same file, whatever the order of its fields', () => {
    const one = configOf({ models: { a: model, b: model }, shards: 2 });
    const other = configOf({ shards: 2, models: { b: model, a: model } });
    expect(hashOf(one)).toMatch(/^[0-9a-f]{12}$/);
    expect(hashOf(other)).toBe(hashOf(one));
  });

  test.each([
    ['a target', { models: { m: { targets: [{ provider: 'p', model: 'y' }] } } }],
    ['a key of a provider', { providers: { p: { ...provider, apiKey: 'sk-two' } } }],
    ['the secret of a key', { keys: [{ id: 'a', secret: 'secret-of-a-client' }] }],
    ['a limit', { limits: { queueJobs: 5 } }],
    ['a field that needs a restart', { shards: 4 }],
  ])('changes with %s', (_what, sections) => {
    expect(hashOf(configOf(sections))).not.toBe(hashOf(started));
  });

  test('does not depend on what a process has from its own flags and environment', () => {
    const own = ['--port', '1', '--host', '::1', '--redis', 'redis://other:6379'];
    expect(hashOf(configOf({}, own, { DATABASE_URL: 'sqlite:x.db' }))).toBe(hashOf(started));
    const models = { m: { targets: [{ provider: 'simulated', model: 'healthy' }] } };
    const there = configOf({ models }, [], { MILLRACE_SIMULATED_URL: 'http://127.0.0.1:1' });
    expect(hashOf(there)).toBe(hashOf(configOf({ models })));
  });
});

test('the parts that a reload changed are named for the log', () => {
  const after = configOf({
    models: { n: model },
    providers: { p: { ...provider, apiKey: 'sk-two' } },
    keys: [{ id: 'a', secret: 'secret-of-a-client' }],
    limits: { queueJobs: 5 },
  });
  expect(changedParts(started, after)).toEqual([
    'models.m',
    'models.n',
    'providers.p',
    'keys',
    'limits.queueJobs',
  ]);
  expect(changedParts(started, started)).toEqual([]);
});
