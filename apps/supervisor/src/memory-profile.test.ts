import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { v8Flags } from './memory-profile.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** As a role that is started alone, and the image, gets them. */
const printed = (profile?: string) =>
  spawnSync('sh', ['scripts/v8-flags.sh'], {
    cwd: root,
    env: { ...process.env, MILLRACE_MEMORY_PROFILE: profile ?? '' },
    encoding: 'utf8',
  });

test.each(['small', 'default', 'throughput'])(
  'the memory profile %s has flags that this Node takes, the same for every way to start',
  (profile) => {
    const flags = v8Flags(root, { MILLRACE_MEMORY_PROFILE: profile });
    expect(execFileSync(process.execPath, [...flags, '-p', '1'], { encoding: 'utf8' })).toBe('1\n');
    expect(printed(profile).stdout.trim().split(/\s+/)).toEqual(flags);
  },
);

test('without a memory profile the default one is taken', () => {
  const flags = v8Flags(root, { MILLRACE_MEMORY_PROFILE: 'default' });
  expect(v8Flags(root, {})).toEqual(flags);
  expect(printed().stdout.trim().split(/\s+/)).toEqual(flags);
});

test.each(['huge', '../launch.sh', '.'])(
  'a memory profile %s is refused, and says why',
  (profile) => {
    const expected = /MILLRACE_MEMORY_PROFILE: expected one of default,? small,? throughput/;
    expect(() => v8Flags(root, { MILLRACE_MEMORY_PROFILE: profile })).toThrow(expected);
    const { status, stderr } = printed(profile);
    expect(status).toBe(78);
    expect(stderr).toMatch(expected);
  },
);
