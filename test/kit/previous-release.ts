import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from './roles.ts';
import type { RoleName } from './roles.ts';

/*
 * The release that a fleet runs before it is upgraded: the sources of a commit of this repository, in a folder of their own.
 * Move `commit` on when a version is released.
 */

const commit = 'c52bce14a603';

/** The programs of one release. */
export type Release = {
  readonly root: string;
  programOf(role: RoleName): string;
};

const run = promisify(execFile);

/**
 * Checks the release out on first use. Undefined in a checkout without its commit: a shallow clone, or an archive.
 * Rejects if its dependencies cannot be installed.
 */
export async function previousRelease(): Promise<Release | undefined> {
  if (!(await hasCommit())) {
    console.warn(`skipped: this checkout has no commit ${commit}, the previous release`);
    return undefined;
  }
  const folder = join(root, '.millrace/releases', commit);
  if (!existsSync(folder)) {
    const draft = `${folder}.${process.pid}`;
    try {
      await checkOut(draft);
      // Another test run may have been first.
      await rename(draft, folder).catch(() => {});
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  }
  return { root: folder, programOf: (role) => join(folder, `apps/${role}/src/main.ts`) };
}

const hasCommit = (): Promise<boolean> =>
  run('git', ['cat-file', '-e', `${commit}^{commit}`], { cwd: root }).then(
    () => true,
    () => false,
  );

async function checkOut(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const archive = join(folder, 'sources.tar');
  await run('git', ['archive', '-o', archive, commit], { cwd: root });
  await run('tar', ['-xf', archive, '-C', folder]);
  await rm(archive);
  const lockFiles = [root, folder].map((at) => readFile(join(at, 'package-lock.json'), 'utf8'));
  const [ours, theirs] = await Promise.all(lockFiles);
  if (ours === theirs) await linkPackages(folder);
  else await run('npm', ['ci', '--omit=dev', '--no-audit', '--no-fund'], { cwd: folder });
}

/** Uses the packages that are installed here, but the release's own workspaces. */
async function linkPackages(folder: string): Promise<void> {
  const own = '@millrace';
  const modules = join(root, 'node_modules');
  await mkdir(join(folder, 'node_modules'));
  const names = (await readdir(modules)).filter((name) => name !== own && name !== '.cache');
  for (const name of names) {
    await symlink(join(modules, name), join(folder, 'node_modules', name));
  }
  await cp(join(modules, own), join(folder, 'node_modules', own), {
    recursive: true,
    verbatimSymlinks: true,
  });
  // Packages that npm installed for one workspace only.
  for (const group of ['apps', 'packages']) {
    for (const workspace of await readdir(join(folder, group))) {
      const installed = join(root, group, workspace, 'node_modules');
      if (!existsSync(installed)) continue;
      await symlink(installed, join(folder, group, workspace, 'node_modules'));
    }
  }
}
