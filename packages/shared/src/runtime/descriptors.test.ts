import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { connectionRoom, connectionShare, readDescriptors } from './descriptors.ts';

describe('the room for connections', () => {
  it('is the limit less what is open and a reserve', () => {
    expect(connectionRoom({ limit: 20_000, open: 30 })).toBe(20_000 - 30 - 64);
  });

  it('keeps a quarter as the reserve where the limit is small', () => {
    expect(connectionRoom({ limit: 64, open: 28 })).toBe(64 - 28 - 16);
  });

  it('is less by what the process will open for itself', () => {
    expect(connectionRoom({ limit: 1024, open: 30 }, 128)).toBe(1024 - 30 - 128 - 64);
  });

  it('is one connection at least', () => {
    expect(connectionRoom({ limit: 32, open: 30 })).toBe(1);
  });

  it('is endless where there is no limit', () => {
    expect(connectionRoom({ limit: Infinity, open: 30 })).toBe(Infinity);
  });
});

it('pools share the room, and each has one connection at least', () => {
  expect(connectionShare(100, 3)).toBe(33);
  expect(connectionShare(2, 3)).toBe(1);
  expect(connectionShare(Infinity, 3)).toBe(Infinity);
});

it('a process reads the limit that its shell has set', () => {
  const module = fileURLToPath(new URL('descriptors.ts', import.meta.url));
  const script = `console.log(JSON.stringify((await import('${module}')).readDescriptors()))`;
  const printed = execFileSync(
    'sh',
    ['-c', 'ulimit -n 123; exec "$0" --input-type=module -e "$1"', process.execPath, script],
    { encoding: 'utf8' },
  );
  const { limit, open } = JSON.parse(printed) as ReturnType<typeof readDescriptors>;
  expect(limit).toBe(123);
  expect(open).toBeGreaterThan(3);
  expect(open).toBeLessThan(60);
});
