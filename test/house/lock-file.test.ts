import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

type Locked = { integrity?: string; link?: boolean; optionalDependencies?: Record<string, string> };
type LockFile = { packages: Record<string, Locked> };

const file = join(import.meta.dirname, '../../package-lock.json');
const { packages } = JSON.parse(readFileSync(file, 'utf8')) as LockFile;

// Where the registry lags behind, npm leaves optional packages out of the lock file and then refuses
// it, on fresh clones only: nobody who has the packages already would notice.
test('the lock file names every optional package, so that npm ci takes it', () => {
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) =>
        !(`node_modules/${name}` in packages) && !(`${path}/node_modules/${name}` in packages),
    ),
  );
  expect(missing).toEqual([]);
});

test('every package from the registry has its checksum', () => {
  const unchecked = Object.entries(packages)
    .filter(([path, { link }]) => path.includes('node_modules/') && !link)
    .filter(([, { integrity }]) => !integrity);
  expect(unchecked).toEqual([]);
});
