import { expect, test } from 'vitest';
import { ConfigError } from '../config/types.ts';
import type { Config } from '../config/types.ts';
import { createConfigSource } from './config-source.ts';

const limits = { queueJobs: 1, queueTtlMs: 1000 };
const configOf = (sections: object = {}) =>
  ({ listen: {}, providers: {}, models: {}, limits, shards: 1, ...sections }) as unknown as Config;

function setUp() {
  const lines: Record<string, unknown>[] = [];
  const log = (level: string) => (fields: object, msg: string) =>
    lines.push({ level, msg, ...fields });
  let file: Config | ConfigError = configOf();
  let time = 0;
  const source = createConfigSource({
    started: configOf(),
    load() {
      if (file instanceof ConfigError) throw file;
      return file;
    },
    logger: { info: log('info'), warn: log('warn'), error: log('error') } as never,
    now: () => (time += 1),
  });
  const write = (next: Config | ConfigError) => void (file = next);
  return { source, write, lines };
}

const withModel = (name: string) => configOf({ models: { [name]: { targets: [], timeoutMs: 1 } } });

test('a new config is in use at once, for every view of it', () => {
  const { source, write, lines } = setUp();
  const kept = source.current;
  write(configOf({ limits: { ...limits, queueJobs: 2 }, keys: [{ id: 'a' }] }));
  expect(source.read('file changed')).toBe('applied');
  expect(source.limits.queueJobs).toBe(2);
  expect(source.live.keys).toEqual([{ id: 'a' }]);
  expect(kept.keys).toBeUndefined();
  const { hash } = source.state;
  expect(lines).toEqual([
    {
      level: 'info',
      msg: 'the config was reloaded',
      cause: 'file changed',
      hash,
      changed: ['keys', 'limits.queueJobs'],
    },
  ]);
});

test('the same config changes nothing, and is not logged', () => {
  const { source, lines } = setUp();
  const { state } = source;
  expect(source.read('SIGHUP')).toBe('unchanged');
  expect(source.state).toEqual(state);
  expect(lines).toEqual([]);
});

test('a refused config leaves the old one in use, and says why in one line until a good one is there', () => {
  const { source, write, lines } = setUp();
  const { hash } = source.state;
  write(new ConfigError(['first problem', 'second problem']));
  expect(source.read('SIGHUP')).toBe('refused');
  expect(source.state).toMatchObject({
    hash,
    since: 1,
    problems: ['first problem', 'second problem'],
  });
  expect(source.state.refusedAt).toBeGreaterThan(1);
  expect(lines).toMatchObject([
    { level: 'error', cause: 'SIGHUP', problems: source.state.problems },
  ]);
  write(configOf());
  expect(source.read('file changed')).toBe('unchanged');
  expect(source.state).toMatchObject({ hash, problems: [] });
  write(withModel('m'));
  source.read('file changed');
  expect(source.state.problems).toEqual([]);
  expect(source.state.hash).not.toBe(hash);
});

test('one listener that refuses keeps all the others from applying', () => {
  const { source, write } = setUp();
  const applied: string[] = [];
  let isBad = true;
  source.onChange(() => () => applied.push('first'));
  source.onChange(() => {
    if (isBad) throw new ConfigError(['no such file: cert.pem']);
    return () => applied.push('second');
  });
  write(withModel('m'));
  const { hash } = source.state;
  expect(source.read('file changed')).toBe('refused');
  expect([applied, source.current.models, source.state.hash]).toEqual([[], {}, hash]);
  expect(source.state.problems).toEqual(['no such file: cert.pem']);
  // The file is the same, and the reason has gone.
  isBad = false;
  expect(source.read('operator')).toBe('applied');
  expect(applied).toEqual(['first', 'second']);
});

test('listeners get the config that is in use, and the one before', () => {
  const { source, write } = setUp();
  const seen: unknown[] = [];
  source.onChange((next, before) => {
    seen.push([Object.keys(before.models), Object.keys(next.models), source.current === before]);
    return () => seen.push(source.current === next);
  });
  write(withModel('m'));
  source.read('file changed');
  write(withModel('n'));
  source.read('file changed');
  expect(seen).toEqual([[[], ['m'], true], true, [['m'], ['n'], true], true]);
});

test('fields that need a restart are named in the state and in the log, and keep their value', () => {
  const { source, write, lines } = setUp();
  write(configOf({ shards: 4 }));
  source.read('file changed');
  expect(source.live.shards).toBe(1);
  expect(source.state.needsRestart).toEqual(['shards']);
  expect(lines.at(-1)).toMatchObject({ level: 'warn', fields: ['shards'] });
  write(configOf());
  source.read('file changed');
  expect(source.state.needsRestart).toEqual([]);
});

test('an error that is no ConfigError is a bug, and is thrown', () => {
  const { source, write } = setUp();
  source.onChange(() => {
    throw new TypeError('a bug');
  });
  write(withModel('m'));
  expect(() => source.read('file changed')).toThrow('a bug');
});
